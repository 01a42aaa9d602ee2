"""Steps whose loss or gradient is no finite number: none is taken, and the rows of the step are named.

The loss is summed over ranks and the gradient is averaged over them before either is judged, so that all ranks judge
alike.
"""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any

from swift_core.errors import NonFiniteError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from swift_core.train.trainer import SwiftTrainer

_SHOWN = 16
"""Rows that a message names at most."""


class NonFinite:
    """Judges the steps of one trainer; a step that is left out leaves weights and optimizer as they were."""

    def __init__(self, trainer: SwiftTrainer) -> None:
        """Take the trainer and what its run file says of such steps."""
        self._trainer = trainer
        train = trainer.parts.plan.settings.train
        self._skips, self._limit = train.on_nonfinite == "skip", train.nonfinite_limit
        self._in_a_row = 0
        self._parts: list[tuple[Any, Tensor]] = []
        self._logged: dict[str, Tensor] = {}
        self.leaves_out = False
        """Whether the present step is not taken."""
        self.rescue: Callable[[str], bool] | None = None
        """Called with what is not finite; true when its cause was taken back, and the step is only to be left out."""

    def begin(self) -> None:
        """Start a step."""
        self._parts, self.leaves_out = [], False
        self._logged = self._trainer.logged_sums()

    def note(self, batch: Mapping[str, Any], loss: Tensor) -> None:
        """Remember the loss of a micro-batch, without waiting for it."""
        self._parts.append((batch.get("rows"), loss.detach()))

    def judge(self, name: str, value: float) -> None:
        """Leave the step out, or raise, when `value`, its loss or gradient norm called `name`, is not finite.

        Raises:
            NonFiniteError: The run stops at such steps, or left out as many in a row as it may.
        """
        if self.leaves_out:
            return
        if math.isfinite(value):
            if name == "gradient":
                self._in_a_row = 0
            return
        if self.rescue is not None and self.rescue(self._what(name, value)):
            self.leaves_out = True
            self._trainer.forget_step(self._logged)
            return
        self._in_a_row += 1
        if not self._skips or self._in_a_row > self._limit:
            raise NonFiniteError(self._problem(name, value))
        self.leaves_out = True
        self._trainer.forget_step(self._logged)
        text = f"{self._what(name, value)}; the step is left out, {self._in_a_row} of at most {self._limit} in a row"
        if self._trainer.args.process_index == 0 or self._guilty():
            print(text, file=sys.stderr)

    def leave_out(self) -> None:
        """Leave the present step out, between its backward pass and the optimizer's step; alike on all ranks."""
        self.leaves_out = True
        self._trainer.forget_step(self._logged)
        self._trainer.accelerator.gradient_state._set_sync_gradients(False)  # the optimizer then takes no step

    def _what(self, name: str, value: float) -> str:
        return f"the {name} of step {self._trainer.state.global_step + 1} is {value}{self.rows()}"

    def rows(self) -> str:
        """Return the rows of the micro-batches whose own loss is not finite, or else of all, on this process."""
        chosen = self._guilty() or [(index, rows) for index, (rows, _) in enumerate(self._parts, start=1)]
        numbers = [int(row) for _, rows in chosen if rows is not None for row in rows.flatten().tolist()]
        shown = ", ".join(map(str, numbers[:_SHOWN])) + (", ..." if len(numbers) > _SHOWN else "")
        which = ", ".join(str(index) for index, _ in chosen)
        rank = f" of rank {self._trainer.args.process_index}" if self._trainer.args.world_size > 1 else ""
        return f" (micro-batch {which} of {len(self._parts)}{rank}{f', rows {shown}' if shown else ''})"

    def _guilty(self) -> list[tuple[int, Any]]:
        """Return number and rows of the micro-batches of this process whose own loss is not finite."""
        numbered = enumerate(self._parts, start=1)
        return [(index, rows) for index, (rows, loss) in numbered if not math.isfinite(float(loss))]

    def _problem(self, name: str, value: float) -> Problem:
        place = self._trainer.parts.plan.config.place
        message, next_step = f"{self._what(name, value)}; no step was taken with it.", "lower train.learning_rate"
        if self._skips:
            message += f" {self._limit} steps before it were left out already."
            key = "train.nonfinite_limit"
        else:
            key = "train.on_nonfinite"
            next_step += (
                ", look at these rows with swift preview, or leave such steps out with train.on_nonfinite: skip"
            )
        return Problem(f"non-finite-{name}", message, place(key), next_step)
