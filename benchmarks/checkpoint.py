"""What a committed checkpoint costs over the plain write of transformers, as a ratio measured in one run.

    python benchmarks/checkpoint.py [--hidden N] [--layers N] [--rounds N]

Each round writes the same checkpoint twice, in turn: as Trainer does it, and with the commit round it (a finite look at
the weights, a hash of every file, flush, rename). `fsync` is the plain write followed by one fsync for each file: what
any checkpoint costs that survives a power cut. The ratios are medians of those within a round.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import torch
import transformers

from swift_core.contracts.parallel import Parallel
from swift_core.contracts.settings import DataSettings, ModelSettings, RunSettings, TrainSettings
from swift_core.plugins.hooks import manager
from swift_core.train.supervised import Supervised


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", type=Path, help="where to write; a temporary folder when left out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        trainer = build(Path(folder) / "run", options.hidden, options.layers)
        rounds = [measure(trainer) for _ in range(options.rounds + 1)][1:]
    for name in ("plain", "fsync", "committed"):
        seconds = statistics.median(each[name] for each in rounds)
        ratio = statistics.median(each[name] / each["plain"] for each in rounds)
        print(f"{name:10} {seconds * 1000:8.1f} ms   {ratio:5.2f} x the plain write")
    print(f"{rounds[-1]['bytes'] / 1e6:.1f} MB, {options.rounds} rounds, torch {torch.__version__}")


def build(directory: Path, hidden: int, layers: int) -> Supervised:
    """Return a trainer of a random Llama whose optimizer has its state."""
    config = transformers.LlamaConfig(
        vocab_size=4096, hidden_size=hidden, intermediate_size=4 * hidden, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=4,
    )  # fmt: skip
    settings = RunSettings(
        model=ModelSettings(model_id="none"), data=DataSettings(dataset="none"), train=TrainSettings(save_total_limit=1)
    )
    part = SimpleNamespace(plugin=SimpleNamespace(name="none"), key="train.loss_type")
    plan = SimpleNamespace(
        settings=settings,
        loss=part,
        parallel=Parallel("single", 1, 1, {}),
        config=SimpleNamespace(place=lambda key: None, path="run.yaml"),
    )
    tuner = SimpleNamespace(reference=lambda model: None)
    parts = cast(
        "Any",
        SimpleNamespace(
            plan=plan, directory=directory, model=transformers.LlamaForCausalLM(config), tokenizer=None, tuner=tuner,
            loss=lambda outputs, labels: outputs, train_dataset=[{}], eval_dataset=None, collator=None, callbacks=[],
            hooks=manager([]), resume_from=None, reference=None, facts={},
        ),
    )  # fmt: skip
    trainer = Supervised(parts)
    trainer.optimizer = torch.optim.AdamW(trainer.module.parameters())
    for parameter in trainer.module.parameters():
        parameter.grad = torch.zeros_like(parameter)
    trainer.optimizer.step()
    trainer.lr_scheduler = torch.optim.lr_scheduler.ConstantLR(trainer.optimizer)
    return trainer


def measure(trainer: Supervised) -> dict[str, float]:
    """Return the seconds of one write of each kind, and the size of what was written."""
    run = Path(str(trainer.args.output_dir))
    found: dict[str, float] = {}
    for name in ("plain", "fsync", "committed"):
        shutil.rmtree(run, ignore_errors=True)
        os.sync()
        start = time.perf_counter()
        if name == "committed":
            with trainer.saving.committing():
                trainer._save_checkpoint(trainer.module, None)
        else:
            transformers.Trainer._save_checkpoint(trainer, trainer.module, None)
        if name == "fsync":
            for path in (run / "checkpoint-0").iterdir():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
        found[name] = time.perf_counter() - start
    found["bytes"] = sum(path.stat().st_size for path in (run / "checkpoint-0").iterdir())
    return found


if __name__ == "__main__":
    main()
