"""Draw images with captions and make a tiny CLIP model that has never seen any: `python examples/clip/make.py FOLDER`.

Each image has a shape of some colour at one of nine places. Training and held-out rows have no caption in common, so
that a held-out image is found by the parts of its caption and not by heart.
"""

from __future__ import annotations

import itertools
import json
import random
import shutil
import sys
from pathlib import Path

from PIL import Image, ImageDraw

COLOURS = {
    "red": (220, 30, 30), "green": (30, 170, 60), "blue": (40, 60, 220), "yellow": (240, 220, 40),
    "black": (20, 20, 20), "pink": (250, 130, 190),
}  # fmt: skip
SHAPES = {"square": (5, 5), "bar": (5, 2), "pole": (2, 5)}
"""Half of a width and height, in pixels."""

ROWS = {"top": 5, "middle": 16, "bottom": 27}
COLUMNS = {"left": 5, "centre": 16, "right": 27}
SIZE = 32
WORDS = ("<|startoftext|>", "<|endoftext|>", "a", *COLOURS, *SHAPES, *ROWS, *COLUMNS)
Scene = tuple[str, str, str, str]


def main(folder: Path, seed: int = 0) -> None:
    """Write `train.jsonl`, `held_out.jsonl`, `images`, the model `tiny-clip` and the run file into `folder`."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(__file__).with_name("run.yaml"), folder / "run.yaml")
    scenes = list(itertools.product(COLOURS, SHAPES, ROWS, COLUMNS))
    random.Random(seed).shuffle(scenes)
    held_out = scenes[:40]
    write_rows(folder, "held_out.jsonl", held_out)
    write_rows(folder, "train.jsonl", scenes[40:])
    write_model(folder / "tiny-clip", seed)


def write_rows(folder: Path, name: str, scenes: list[Scene]) -> None:
    """Draw scenes and write a row for each."""
    rows = []
    for scene in scenes:
        file = f"images/{'-'.join(scene)}.png"
        draw(*scene).save(folder / file)
        rows.append({"image": file, "caption": f"a {' '.join(scene)}"})
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def draw(colour: str, shape: str, row: str, column: str) -> Image.Image:
    """Return a scene, `SIZE` pixels wide and high."""
    image = Image.new("RGB", (SIZE, SIZE), "white")
    (x, y), (half_width, half_height) = (COLUMNS[column], ROWS[row]), SHAPES[shape]
    corners = (x - half_width, y - half_height, x + half_width, y + half_height)
    ImageDraw.Draw(image).rectangle(corners, fill=COLOURS[colour])
    return image


def write_model(folder: Path, seed: int, kind: str = "clip") -> None:
    """Write a random model with its tokenizer of a few words and its image processor; `kind` is `clip` or `siglip`."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast, SiglipConfig, SiglipModel

    torch.manual_seed(seed)
    text = {"vocab_size": len(WORDS), "max_position_embeddings": 12, "bos_token_id": 0, "eos_token_id": 1}
    sides = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
    image = {"image_size": SIZE, "patch_size": 8}
    made, config = (CLIPModel, CLIPConfig) if kind == "clip" else (SiglipModel, SiglipConfig)
    own = {"projection_dim": 32} if kind == "clip" else {}
    text |= {"pad_token_id": 1, **sides} | ({"projection_size": 48} if kind == "siglip" else {})
    made(config(text_config=text, vision_config={**sides, **image}, **own)).save_pretrained(folder)

    words = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token=WORDS[1]))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    around = [(WORDS[0], 0), (WORDS[1], 1)]
    words.post_processor = processors.TemplateProcessing(single=f"{WORDS[0]} $A {WORDS[1]}", special_tokens=around)
    inputs = ["input_ids", "attention_mask"] if kind == "clip" else ["input_ids"]
    named = {"bos_token": WORDS[0], "eos_token": WORDS[1], "pad_token": WORDS[1], "model_input_names": inputs}
    PreTrainedTokenizerFast(tokenizer_object=words, **named).save_pretrained(folder)
    pixels = {
        "image_processor_type": "CLIPImageProcessor", "size": {"height": SIZE, "width": SIZE},
        "do_center_crop": False, "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
    }  # fmt: skip
    (folder / "preprocessor_config.json").write_text(json.dumps(pixels), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
