"""The stage clip from the outside: trained on drawn images, judged on scenes that it has not seen."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

EXAMPLE = Path(__file__).parents[2] / "examples" / "clip"


def load_make():
    spec = importlib.util.spec_from_file_location("clip_make", EXAMPLE / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = load_make()


def result(folder):
    return json.loads((folder / "out" / "result.json").read_text())


def drawn(swift, *, kind="clip", **train):
    """Write rows, a model and the example's run file with other keys of `train`."""
    make.main(swift.folder)
    if kind != "clip":
        make.write_model(swift.folder / "tiny-clip", 0, kind)
    text = (EXAMPLE / "run.yaml").read_text() + "output_dir: out\n"
    for key, value in train.items():
        own = [line for line in text.splitlines() if line.strip().startswith(f"{key}:")]
        text = (
            text.replace(own[0], f"  {key}: {value}")
            if own
            else text.replace("train:\n", f"train:\n  {key}: {value}\n")
        )
    swift.write("run.yaml", text)


@pytest.mark.slow
def test_scenes_that_were_never_seen_are_found_by_their_captions(swift):
    drawn(swift)
    swift("train", "run.yaml", timeout=600)
    figures = result(swift.folder)
    for way in ("image_to_text", "text_to_image"):
        assert figures["before"][f"eval_{way}_recall_1"] < 0.1
        assert figures["after"][f"eval_{way}_recall_1"] > 0.9
        assert figures["after"][f"eval_{way}_mrr"] > 0.9
    assert figures["after"]["eval_logit_scale"] < 100

    folder = swift.folder / "out" / "model"
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    pixels = AutoImageProcessor.from_pretrained(folder, backend="pil")
    scenes = [
        ("red", "square", "top", "left"),
        ("black", "bar", "middle", "left"),
        ("yellow", "pole", "bottom", "right"),
    ]
    images = pixels([make.draw(*scene) for scene in scenes], return_tensors="pt")
    texts = tokenizer([f"a {' '.join(scene)}" for scene in scenes], return_tensors="pt", padding=True)
    with torch.no_grad():
        outputs = model(**images, input_ids=texts["input_ids"], attention_mask=texts["attention_mask"])
    assert outputs.logits_per_image.argmax(1).tolist() == [0, 1, 2]


def test_a_siglip_model_takes_steps_of_several_micro_batches(swift):
    shares = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "max_steps": 2, "logging_steps": 1}
    drawn(swift, kind="siglip", loss_type="siglip", **shares)
    swift("train", "run.yaml")
    assert result(swift.folder)["after"]["eval_loss"] < result(swift.folder)["before"]["eval_loss"]


def test_adapters_are_learned_and_go_on_bit_for_bit(swift):
    few = {"per_device_train_batch_size": 4, "max_steps": 2, "logging_steps": 1, "save_strategy": "steps"}
    drawn(swift, tuner_strategy="lora", save_steps=1, **few)
    swift("train", "run.yaml")
    out, again = swift.folder / "out", swift.folder / "again"
    shutil.copytree(out, again)
    for name in ("adapter", "checkpoint-2"):
        shutil.rmtree(again / name)
    for name in ("result.json", "report.html"):
        (again / name).unlink()
    told = swift("train", "run.yaml", "output_dir=again", "--resume", "again", "--resume-changed")
    assert "swift infer" not in told
    first, second = (load_file(each / "adapter" / "adapter_model.safetensors") for each in (out, again))
    assert any(value.abs().max() > 0 for name, value in first.items() if "lora_B" in name)
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_what_the_stage_cannot_learn_is_told_by_row(swift):
    drawn(swift, max_steps=1)
    rows = [
        {"image": "images/red-bar-top-left.png", "caption": "a red bar " * 8},
        {"image": "images/red-bar-top-left.png", "prompt": "What is it?", "caption": "a red bar"},
        {"images": ["images/red-bar-top-left.png"] * 2, "caption": "a red bar"},
        {"image": "images/red-bar-top-left.png", "caption": "a red bar"},
    ]
    swift.write("train.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    told = swift("train", "run.yaml", code=2)
    assert "1 of 2 row is longer than data.max_length, 12 tokens; the longest has 26 (train.jsonl:1)" in told
    assert "train.jsonl:2:1: error[row-does-not-fit-stage]: Stage clip needs an image with a text" in told
    assert "train.jsonl:3:1: error[several-images]: The row has 2 images, and a text is learned with one." in told
