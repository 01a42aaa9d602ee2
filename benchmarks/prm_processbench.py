"""A process reward model trained on labelled steps, judged as ProcessBench does: is the first wrong step found?

    python benchmarks/prm_processbench.py DATA --model gguf:PATH --work FOLDER [--task multistep_arithmetic]

DATA holds steps_bigbench_mistake.jsonl (input, steps, mistake_index: the first wrong step or null). Every fourth row,
of those with an error and of those without, is held out. Stage `prm` trains the others with LoRA. F1 is the harmonic
mean of the shares found exactly among solutions with an error and without (Zheng et al., 2024, arXiv:2412.06559,
section 3.3), 0 where both are 0. It is worked out here from the scores of `local_prm`, at the threshold 0.5 and at the
one that is best on the training rows, and must agree at 0.5 with the metric `first_error_f1` of the run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "TRANSFORMERS_VERBOSITY": "error"}
RUN = """
model: {{model_id: "{model}", dtype: bfloat16}}
data: {{dataset: train.jsonl, val_dataset: held_out.jsonl, max_length: 2048}}
output_dir: prm
train:
  stage: prm
  metrics: [first_error_f1]
  tuner_strategy: lora
  tuner_kwargs: {{lora_rank: 16, lora_alpha: 32}}
  learning_rate: {lr}
  num_train_epochs: {epochs}
  per_device_train_batch_size: 4
  save_strategy: "no"
"""
Row = dict[str, Any]


def main() -> None:
    """Train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", required=True, help="gguf:PATH, a folder or a hub id")
    parser.add_argument("--work", type=Path, required=True, help="an empty folder for everything that is made")
    parser.add_argument("--task", default="multistep_arithmetic", help="which tasks of the data, separated by commas")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--lr", type=float, default=5e-4)
    options = parser.parse_args()
    options.work.mkdir(parents=True)
    train, held_out = split(options.data / "steps_bigbench_mistake.jsonl", options.task.split(","))
    for name, rows in {"train": train, "held_out": held_out}.items():
        (options.work / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        print(f"{name}: {len(rows)} solutions, {sum(row['mistake_index'] is None for row in rows)} without an error")
    (options.work / "run.yaml").write_text(RUN.format(**vars(options)))
    start = time.monotonic()
    command = [sys.executable, "-m", "swift_core", "train", "run.yaml"]
    subprocess.run(command, cwd=options.work, env=ENVIRONMENT, check=True, stdout=subprocess.DEVNULL)
    result = json.loads((options.work / "prm" / "result.json").read_text())
    print(f"{result['num_steps']} steps, {time.monotonic() - start:.0f} s with evaluation")
    for when in ("before", "after"):
        names = ("error_accuracy", "correct_accuracy", "first_error_f1", "step_accuracy")
        figures = (f"{name} {result[when][f'eval_{name}']:.3f}" for name in names if f"eval_{name}" in result[when])
        print(f"{when:7}", ", ".join(figures), flush=True)
    judge(options.work, train, held_out, result["after"]["eval_first_error_f1"])


def split(path: Path, tasks: Sequence[str]) -> tuple[list[Row], list[Row]]:
    """Return the rows to train on and those to judge with, alike in the share without an error."""
    rows = [row for row in map(json.loads, path.read_text().splitlines()) if row["task"] in tasks]
    kinds = [[row for row in rows if (row["mistake_index"] is None) == right] for right in (False, True)]
    kept = [{key: row[key] for key in ("input", "steps", "mistake_index")} for kind in kinds for row in kind]
    places = [place for kind in kinds for place in range(len(kind))]
    train = [row for row, place in zip(kept, places, strict=True) if place % 4]
    return train, [row for row, place in zip(kept, places, strict=True) if place % 4 == 0]


def judge(work: Path, train: list[Row], held_out: list[Row], told: float) -> None:
    """Print the F1 of the run's scores on held-out rows, and check it against what the run said."""
    tuning = scores(work, train)
    threshold = max((step / 100 for step in range(1, 100)), key=lambda each: f1(train, tuning, each)[2])
    found = scores(work, held_out)
    for name, each in (("0.5", 0.5), ("best of the training rows", threshold)):
        error, correct, value = f1(held_out, found, each)
        print(f"threshold {each:.2f} ({name}): errors {error:.3f}, correct {correct:.3f}, F1 {value:.3f}", flush=True)
    if abs(f1(held_out, found, 0.5)[2] - told) > 0.1:
        raise SystemExit(f"the metric of the run said {told:.3f} at 0.5")


def scores(work: Path, rows: list[Row]) -> list[list[float]]:
    """Return the probability that each step is right, by `local_prm`."""
    from swift_core.plugin_api import InferRequest
    from swift_reward_zoo.prm.local_prm import LocalPrm

    requests = [
        InferRequest(messages=[{"role": "user", "content": row["input"] + "\n"}], response="\n".join(row["steps"]))
        for row in rows
    ]
    return LocalPrm(run=str(work / "prm"))(requests)


def f1(rows: list[Row], found: list[list[float]], threshold: float) -> tuple[float, float, float]:
    """Return the share of first errors found, of right solutions left alone, and their harmonic mean."""
    hits: dict[bool, list[bool]] = {True: [], False: []}
    for row, steps in zip(rows, found, strict=True):
        first = next((place for place, value in enumerate(steps) if value < threshold), None)
        hits[row["mistake_index"] is None].append(first == row["mistake_index"])
    correct, error = (sum(kind) / len(kind) if kind else 0.0 for kind in (hits[True], hits[False]))
    return error, correct, 2 * error * correct / (error + correct) if error + correct else 0.0


if __name__ == "__main__":
    main()
