"""One measured run of ours: the run file that a user would write, with a callback that looks at the clock.

python benchmarks/step_ours.py FOLDER STAGE full|lora shared|unshared
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from step_case import STEPS
from step_meter import Meter
from transformers import TrainerCallback

from swift_core.assemble import assemble
from swift_core.config.load import load
from swift_core.plugins.registry import installed
from swift_core.resolve.plan import resolve
from swift_core.train import train


class Watch(TrainerCallback):
    """Starts the meter when training begins and tells it of every step."""

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start."""
        self.meter = Meter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Tell."""
        self.meter.step_ended()


def run_file(folder: Path, stage: str, tuner: str, share_prompt: bool) -> dict[str, Any]:
    """Return the run file."""
    rows = folder / ("pairs.jsonl" if stage == "dpo" else "answers.jsonl")
    with rows.open(encoding="utf-8") as lines:
        num_rows = sum(1 for _ in lines)
    return {
        "model": {"model_id": str(folder / "model"), "dtype": "float32"},
        "data": {"dataset": str(rows), "shuffle": False},
        "train": {
            "stage": stage,
            "tuner_strategy": tuner,
            "share_prompt": share_prompt,
            "learning_rate": 1e-5,
            "max_steps": STEPS,
            "per_device_train_batch_size": num_rows // STEPS,
            "eval_generation_rows": 0,
            "save_strategy": "no",
        },
        "device": {"num_threads": 1},
    }


def main() -> None:
    """Train and report."""
    folder, stage, tuner, sharing = sys.argv[1:]
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "run.yaml"
        path.write_text(json.dumps(run_file(Path(folder).resolve(), stage, tuner, sharing == "shared")))
        parts = assemble(resolve(load(path, ()), installed()), Path(scratch) / "out")
        watch = Watch()
        parts.callbacks.append(watch)
        train(parts)
        watch.meter.report()


if __name__ == "__main__":
    main()
