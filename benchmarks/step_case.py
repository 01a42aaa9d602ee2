"""A random model, its tokenizer and rows of exact lengths, for the step benchmarks.

    python benchmarks/step_case.py FOLDER --vocabulary 49152 --prompt 256 --completion 256

A Llama of hidden size 256 with 4 layers and an output head of its own, or with `--shape smollm2-135m` one of the sizes
of SmolLM2-135M; a token is a word, so that a text of n words has n tokens. Writes FOLDER/model, FOLDER/pairs.jsonl and
FOLDER/answers.jsonl.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

PAIRS = 4
"""Pairs of a step, unless it is told otherwise: 8 sequences."""

STEPS = 3
"""Steps of a run; the first warms up and is not timed."""


SHAPES = {
    "small": {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 4},
    "smollm2-135m": {
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "tie_word_embeddings": True,
    },
}


def save_model(folder: Path, vocabulary: int, shape: str) -> None:
    """Write a random model and a tokenizer of whole words."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = {"<eos>": 0, "<pad>": 1} | {f"w{index}": index for index in range(2, vocabulary)}
    words_only = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    words_only.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words_only, eos_token="<eos>", pad_token="<pad>")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary,
        **SHAPES[shape],
        max_position_embeddings=4096,
        eos_token_id=0,
        bos_token_id=None,
        pad_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def save_rows(folder: Path, vocabulary: int, prompt: int, completion: int, num_pairs: int) -> None:
    """Write pairs and single answers; the end of text counts as a token of the completion."""
    draw = random.Random(0)
    text = lambda number: " ".join(f"w{draw.randrange(2, vocabulary)}" for _ in range(number))  # noqa: E731 - local
    prompts = [text(prompt) + " " for _ in range(2 * num_pairs * STEPS)]
    answers = [text(completion - 1) + " <eos>" for _ in range(4 * num_pairs * STEPS)]
    half = len(answers) // 2
    pairs = [
        {"prompt": one, "chosen": chosen, "rejected": rejected}
        for one, chosen, rejected in zip(prompts, answers[:half], answers[half:], strict=True)
    ][: num_pairs * STEPS]
    single = [{"prompt": one, "completion": answer} for one, answer in zip(prompts, answers, strict=False)]
    for name, rows in {"pairs": pairs, "answers": single}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def main() -> None:
    """Make one case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--vocabulary", type=int, default=49_152)
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--completion", type=int, default=256)
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="of a step")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    save_model(arguments.folder / "model", arguments.vocabulary, arguments.shape)
    save_rows(arguments.folder, arguments.vocabulary, arguments.prompt, arguments.completion, arguments.pairs)


if __name__ == "__main__":
    main()
