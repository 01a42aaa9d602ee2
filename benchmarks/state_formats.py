"""What narrow states and weights do to a run's loss: `native_adamw` in each of its formats, beside float32.

    python benchmarks/state_formats.py [--steps N] [--seeds N] [--lr RATE] [--every N] [--only FORMAT ...]
        [--model ID --dataset PATH] [--max-length N] [--batch N] [--threads N]

Each run is a run file of swift's: the demo's tiny model learns the demo's chats, every weight of it, unless
another model and its rows are named. A seed has the same rows in the same order in every format. A point is the
the last point; the table has the mean of the seeds. The distance is the largest over all points and seeds of
|loss - float32's| / float32's. The last line is that distance between two seeds in float32: what the order of the rows
does by itself.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers

from swift_core.assemble import assemble
from swift_core.config.load import load
from swift_core.plugins.registry import installed
from swift_core.resolve.plan import resolve
from swift_core.train import train

Curve = dict[int, float]
"""Step -> loss."""

BASELINE = "float32"
FORMATS: dict[str, tuple[str, dict[str, str]]] = {
    BASELINE: ("float32", {}),
    "bf16 moments": ("float32", {"moments": "bf16"}),
    "8-bit moments": ("float32", {"moments": "8bit"}),
    "bf16 weights, nearest": ("bfloat16", {"rounding": "nearest"}),
    "bf16 weights, stochastic": ("bfloat16", {"rounding": "stochastic"}),
    "bf16 weights, Kahan": ("bfloat16", {"rounding": "kahan"}),
    "bf16 weights, stochastic; bf16 moments": ("bfloat16", {"rounding": "stochastic", "moments": "bf16"}),
    "bf16 weights, stochastic; 8-bit moments": ("bfloat16", {"rounding": "stochastic", "moments": "8bit"}),
}
"""What a table calls it -> type of the weights, options of the optimizer."""


def run_file(dtype: str, options: dict[str, str], chosen: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Return the run file."""
    return {
        "model": {"model_id": chosen.model, "dtype": dtype},
        "data": {"dataset": chosen.dataset, "max_length": chosen.max_length, "overlong": "truncate"},
        "train": {
            "stage": "sft",
            "tuner_strategy": "full",
            "optimizer_type": "native_adamw",
            "optimizer_kwargs": options,
            "learning_rate": chosen.lr,
            "seed": seed,
            "max_steps": chosen.steps,
            "per_device_train_batch_size": chosen.batch,
            "logging_steps": chosen.every,
            "eval_generation_rows": 0,
            "save_strategy": "no",
        },
        "device": {"num_threads": chosen.threads},
    }


class Losses(transformers.TrainerCallback):
    """Keeps what is logged of the loss."""

    def __init__(self) -> None:
        self.points: Curve = {}

    def on_log(self, _: Any, state: transformers.TrainerState, *__: Any, **given: Any) -> None:
        """Keep one point."""
        if "loss" in given["logs"]:
            self.points[state.global_step] = float(given["logs"]["loss"])


def curve_of(name: str, chosen: argparse.Namespace, seed: int) -> Curve:
    """Train once and return the points of the loss."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "run.yaml"
        path.write_text(json.dumps(run_file(*FORMATS[name], chosen, seed)), encoding="utf-8")
        parts = assemble(resolve(load(path, ()), installed()), Path(scratch) / "out")
        losses = Losses()
        parts.callbacks.append(losses)
        train(parts)
    return losses.points


def distance(curve: Curve, baseline: Curve) -> float:
    """Return the largest relative distance between two curves."""
    return max(abs(curve[step] - expected) / expected for step, expected in baseline.items())


def farthest(curves: list[Curve], baselines: list[Curve]) -> str:
    """Return the largest relative distance of all seeds, in words."""
    return f"{100 * max(map(distance, curves, baselines)):.2f} %"


def row(name: str, curves: list[Curve], baselines: list[Curve]) -> str:
    """Return a line of the table."""
    means = [f"{statistics.fmean(curve[step] for curve in curves):.3f}" for step in curves[0]]
    return f"| {' | '.join([name, *means, farthest(curves, baselines)])} |"


def options() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--every", type=int, default=10, help="steps between two points")
    parser.add_argument("--only", nargs="*", default=list(FORMATS), help="formats beside float32")
    parser.add_argument("--model", default="demo:tiny")
    parser.add_argument("--dataset", default="demo:chat")
    parser.add_argument("--max-length", type=int, default=128, help="tokens of a row")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    """Train in every format and print the table."""
    chosen = options()
    torch.set_num_threads(chosen.threads)
    logging.disable(logging.WARNING)

    def curves_of(name: str) -> list[Curve]:
        return [curve_of(name, chosen, seed) for seed in range(chosen.seeds)]

    baselines = curves_of(BASELINE)
    heads = ["format", *(f"step {step}" for step in baselines[0]), "farthest from float32"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    print(row(BASELINE, baselines, baselines), flush=True)
    for name in chosen.only:
        if name != BASELINE:
            print(row(name, curves_of(name), baselines), flush=True)
    if chosen.seeds > 1:
        print(f"Two seeds in float32: {farthest([*baselines[1:], baselines[0]], baselines)}")


if __name__ == "__main__":
    main()
