"""Losses in which items depend on each other: means over the whole optimizer step, and what a loss remembers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class StepLoss(Protocol):
    """A loss that depends on means over the whole optimizer step.

    Before a loss of the step is called, core forms the means over all micro-batches on all processes, and hands them to
    the loss by the name `statistics` (`Mapping[str, Tensor]`, scalars). In evaluation they are means over all held-out
    rows, whatever the batch size.

    A step of one micro-batch per process reads the statistics and the loss from the same outputs. A longer step is
    read twice: first without gradient for the statistics, and only what `statistics` reads is computed; then for the
    loss. The first reading is in training mode and leaves the random numbers as it found them, so that a model with
    dropout drops the same units in both.
    """

    def statistics(self, outputs: Any, /) -> Mapping[str, Tensor]:
        """Return values per item, [item], to be averaged; no gradient is kept. The names never change."""


@runtime_checkable
class StatefulLoss(StepLoss, Protocol):
    """A step loss that remembers: a running mean, a schedule of its own.

    `update` is called once per optimizer step on every process, with the same numbers, before the losses of the step;
    never in evaluation. The state is saved in every checkpoint (`loss_state.safetensors`) and comes back on `--resume`
    bit for bit.
    """

    def update(self, statistics: Mapping[str, Tensor], num_items: Tensor) -> None:
        """Take in the means of a step, float64 scalars, over `num_items` items."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return what it remembers."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state_dict` returned."""
