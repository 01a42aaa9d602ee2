"""Trainer's events, passed on to `swift.hooks` plugins that the run file enabled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from swift_core.contracts.handover import Parts


class Events(TrainerCallback):  # type: ignore[misc]
    """Calls the pluggy hooks of `swift_core.plugins.hookspecs` at their moments."""

    def __init__(self, parts: Parts) -> None:
        """Take the parts whose hooks are called."""
        self._parts, self._hook = parts, parts.hooks.hook

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Pass on."""
        self._hook.swift_train_begin(parts=self._parts)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Pass on."""
        self._hook.swift_step_end(parts=self._parts, step=state.global_step)

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any) -> None:
        """Pass on."""
        self._hook.swift_evaluated(parts=self._parts, step=state.global_step, metrics=metrics)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Pass on."""
        path = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        self._hook.swift_checkpoint_saved(parts=self._parts, step=state.global_step, path=path)
