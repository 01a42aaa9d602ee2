"""The run file's training keys as `transformers.TrainingArguments`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import transformers

from swift_core.train.engine.start import engine_arguments

if TYPE_CHECKING:
    from pathlib import Path

    from swift_core.contracts.handover import RunPlan

SAME_NAME = (
    "learning_rate",
    "num_train_epochs",
    "max_steps",
    "warmup_steps",
    "per_device_train_batch_size",
    "per_device_eval_batch_size",
    "gradient_accumulation_steps",
    "max_grad_norm",
    "seed",
    "logging_steps",
    "eval_strategy",
    "save_strategy",
    "save_steps",
    "save_total_limit",
    "dataloader_num_workers",
    "report_to",
)
"""Keys that mean here what they mean there. The optimizer's and the schedule's go to their plugins instead."""


def training_arguments(
    plan: RunPlan, directory: Path, home: torch.device | None = None, *, model: Any, has_media: bool = False
) -> transformers.TrainingArguments:
    """Return what Trainer is told; everything that a plugin decides is left at its default.

    Args:
        plan: The run.
        directory: Where it writes.
        home: Where the batches of a model go that is spread over several devices; None: Trainer finds the device.
        model: The model, not wrapped yet.
        has_media: Whether rows have images or sounds.
    """
    train = plan.settings.train
    on_cpu = plan.settings.device.use_cpu or not torch.accelerator.is_available()
    arguments = transformers.TrainingArguments(
        output_dir=str(directory),
        run_name=train.run_name or directory.name,
        eval_steps=train.eval_steps if train.eval_strategy == "steps" else None,
        train_sampling_strategy="random" if plan.settings.data.shuffle else "sequential",
        remove_unused_columns=False,
        average_tokens_across_devices=False,
        logging_nan_inf_filter=False,
        logging_first_step=True,
        label_names=["labels"],
        activation_checkpointing=train.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False} if train.gradient_checkpointing else None,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        # Without a GPU accelerate starts no process group unless it is told that the CPU is meant.
        **engine_arguments(plan, on_cpu=on_cpu, model=model, has_media=has_media),
        **{name: getattr(train, name) for name in SAME_NAME},
    )
    if home is not None:
        arguments.__dict__["_setup_devices"] = home  # what its property `device` returns; it would be the first GPU
    return arguments
