"""One measured plain loop: full logits, cross entropy or DPO, fused AdamW, gradient clipping; no trainer.

python benchmarks/step_plain.py FOLDER dpo|sft|pt
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from step_case import PAIRS, STEPS
from step_meter import Meter
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer


def encoded(folder: Path, stage: str) -> list[tuple[Tensor, Tensor]]:
    """Return input_ids and labels of every step's 8 sequences."""
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    name = "pairs" if stage == "dpo" else "answers"
    rows = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
    size, answers = (PAIRS, ("chosen", "rejected")) if stage == "dpo" else (2 * PAIRS, ("completion",))
    batches = []
    for start in range(0, STEPS * size, size):
        texts = [(row["prompt"], row[answer]) for answer in answers for row in rows[start : start + size]]
        prompts = [tokenizer(prompt)["input_ids"] for prompt, _ in texts]
        completions = [tokenizer(completion)["input_ids"] for _, completion in texts]
        ids = torch.tensor([prompt + completion for prompt, completion in zip(prompts, completions, strict=True)])
        labels = ids.clone()
        if stage != "pt":
            for row, prompt in zip(labels, prompts, strict=True):
                row[: len(prompt)] = -100
        batches.append((ids, labels))
    return batches


def summed_logps(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the summed log-probability of each row's labels."""
    following = labels[:, 1:]
    logps = logits[:, :-1].log_softmax(-1).gather(2, following.clamp(min=0)[..., None]).squeeze(2)
    return (logps * (following >= 0)).sum(1)


def main() -> None:
    """Train and report."""
    folder, stage = Path(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    load = lambda: AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)  # noqa: E731 - local
    model = load().train()
    reference = load().eval() if stage == "dpo" else None
    batches = encoded(folder, stage)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.0, fused=True)
    meter = Meter()
    for ids, labels in batches:
        logits = model(ids, use_cache=False).logits
        if reference is None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        else:
            with torch.no_grad():
                known = summed_logps(reference(ids, use_cache=False).logits, labels)
            chosen, rejected = (summed_logps(logits, labels) - known).chunk(2)
            loss = -F.logsigmoid(0.1 * (chosen - rejected)).mean()
        del logits
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        meter.step_ended()
    meter.report()


if __name__ == "__main__":
    main()
