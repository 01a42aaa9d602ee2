"""One measured run of TRL's trainers on the same model and rows; runs in TRL's own environment.

python benchmarks/step_trl.py FOLDER dpo|sft [full|lora]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import load_dataset
from step_case import PAIRS, STEPS
from step_meter import Meter
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer


class Watch(TrainerCallback):
    """Starts the meter when training begins and tells it of every step."""

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start."""
        self.meter = Meter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """Tell."""
        self.meter.step_ended()


def main() -> None:
    """Train and report."""
    folder, stage, tuner = Path(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "full"
    torch.set_num_threads(1)
    rows, size = ("pairs", PAIRS) if stage == "dpo" else ("answers", 2 * PAIRS)
    watch = Watch()
    with tempfile.TemporaryDirectory() as scratch:
        same = {
            "output_dir": scratch,
            "learning_rate": 1e-5,
            "max_steps": STEPS,
            "per_device_train_batch_size": size,
            "optim": "adamw_torch_fused",
            "bf16": False,
            "gradient_checkpointing": False,
            "use_cpu": True,
            "save_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
        }
        load = lambda: AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)  # noqa: E731 - local
        shared: dict[str, Any] = {
            "model": load(),
            "processing_class": AutoTokenizer.from_pretrained(folder / "model"),
            "train_dataset": load_dataset("json", data_files=str(folder / f"{rows}.jsonl"), split="train"),
            "callbacks": [watch],
        }
        if tuner == "lora":
            from peft import LoraConfig

            shared["peft_config"] = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
        if stage == "dpo":
            reference = None if tuner == "lora" else load()
            DPOTrainer(args=DPOConfig(**same), ref_model=reference, **shared).train()
        else:
            SFTTrainer(args=SFTConfig(**same), **shared).train()
    watch.meter.report()


if __name__ == "__main__":
    main()
