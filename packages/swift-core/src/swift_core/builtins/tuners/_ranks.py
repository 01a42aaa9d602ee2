"""The callback that AdaLoRA brings: peft's allocation after every optimizer step, and its state in checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Callable

FILE = "adalora.safetensors"
_AVERAGES = ("exp_avg_ipt", "exp_avg_unc")


class Ranks(TrainerCallback):
    """Deals out ranks after each step.

    peft cuts an adapter to its ranks where `rank_pattern` is set; optimizer states of a resumed run would no longer
    fit, so the pattern is kept here: ranks that are taken away stay zeros.
    """

    def __init__(self, phases: Callable[[int], tuple[int, int]]) -> None:
        """Take what gives the steps before ranks fall and after, by the steps of the run."""
        self._phases = phases
        self._pattern: dict[str, list[bool]] | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        """Tell peft the steps; go on from a checkpoint."""
        config = event["model"].peft_config["default"]
        try:
            config.tinit, config.tfinal = self._phases(state.max_steps)
        except ValueError as error:
            next_step = "lower tinit and tfinal in train.tuner_kwargs, or train longer"
            raise SwiftError(Problem("wrong-option", f"tuner adalora: {error}.", next_step=next_step)) from error
        config.total_step = state.max_steps
        file = Path(args.output_dir) / f"checkpoint-{state.global_step}" / FILE
        if state.global_step and file.exists():
            self._load(file, event["model"])

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        """Judge and allocate, while gradients are there; a step that was left out says nothing."""
        model = event["model"]
        gradients = [p.grad for n, p in model.named_parameters() if p.requires_grad and ".lora_" in n]
        if any(gradient is None or not bool(torch.isfinite(gradient.sum())) for gradient in gradients):
            return
        config = model.peft_config["default"]
        config.rank_pattern = self._pattern
        model.base_model.update_and_allocate(state.global_step + 1)
        self._pattern, config.rank_pattern = config.rank_pattern, None

    def on_save(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        """Keep averages and pattern with the checkpoint."""
        if not state.is_world_process_zero:
            return
        from safetensors.torch import save_file

        allocator = event["model"].base_model.rankallocator
        tensors = {f"{kind}/{name}": value for kind in _AVERAGES for name, value in getattr(allocator, kind).items()}
        file = Path(args.output_dir) / f"checkpoint-{state.global_step}" / FILE
        save_file(
            {name: value.contiguous() for name, value in tensors.items()}, file, {"pattern": json.dumps(self._pattern)}
        )

    def _load(self, file: Path, model: Any) -> None:
        from safetensors import safe_open

        allocator = model.base_model.rankallocator
        with safe_open(file, framework="pt") as opened:
            self._pattern = json.loads(opened.metadata()["pattern"])
            for key in list(opened.keys()):  # it is no mapping
                kind, _, name = key.partition("/")
                value = torch.as_tensor(opened.get_tensor(key)).to(model.device)
                getattr(allocator, kind)[name] = value
                allocator.ipt[name] = torch.zeros_like(value)  # it is formed anew each step
