"""Trainer's events, passed on to `swift.hooks` plugins that the run file enabled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swift_core.contracts.handover import Parts


class Events(TrainerCallback):
    """Calls the pluggy hooks of `swift_core.plugins.hookspecs` at their moments.

    Trainer logs a step after it said that the step ended, so a step's end is held back until it is known whether it is
    logged.
    """

    def __init__(self, parts: Parts) -> None:
        """Take the parts whose hooks are called."""
        self._parts, self._hook = parts, parts.hooks.hook
        self._ended: int | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Pass on."""
        self._hook.swift_train_begin(parts=self._parts)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell the end of the step before."""
        self._tell({})

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Hold back until it is known whether the step is logged."""
        self._ended = state.global_step

    def on_log(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        """Tell the end of a logged step."""
        self._tell(event["logs"])

    def on_evaluate(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        """Pass on."""
        self._tell({})
        self._hook.swift_evaluated(parts=self._parts, step=state.global_step, metrics=event["metrics"])

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell the end of the step; of the checkpoint itself its commit tells."""
        self._tell({})

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell the end of the last step."""
        self._tell({})

    def _tell(self, metrics: Mapping[str, float]) -> None:
        if self._ended is not None:
            step, self._ended = self._ended, None
            self._hook.swift_step_end(parts=self._parts, step=step, metrics=dict(metrics))
