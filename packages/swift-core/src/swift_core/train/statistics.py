"""Means over a whole optimizer step that losses depend on, and what a loss remembers between steps."""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from swift_core.contracts.coupling import StatefulLoss, StepLoss
from swift_core.train.held_out import summed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from swift_core.contracts.loss import LazyOutputs

STATE_FILE = "loss_state.safetensors"
"""In a checkpoint: what the loss remembers."""

CONSTANTS = ("reference_", "kl_")
"""How the names of outputs begin that never have a gradient: read once, they serve both readings of a step."""

NOTHING: Mapping[str, Tensor] = {}


class Coupling:
    """Gives a step's losses the means that they depend on, formed once a step and the same on all ranks."""

    def __init__(self, loss: Any, reduce: Callable[[Tensor], Tensor]) -> None:
        """Take the loss, and what sums a tensor over ranks."""
        self._loss = loss if isinstance(loss, StepLoss) else None
        self._reduce = reduce
        self._known: deque[dict[str, Any]] = deque()
        self.means = NOTHING
        """Of the present step, float64 scalars."""

    @property
    def is_needed(self) -> bool:
        """Whether the loss depends on a step at all."""
        return self._loss is not None

    @property
    def known_next(self) -> frozenset[str]:
        """Names of what was read ahead of the next micro-batch."""
        return frozenset(self._known[0]) if self._known else frozenset()

    def look_ahead(self, micro_batches: Iterable[LazyOutputs], num_items: Tensor) -> None:
        """Form the means of a step of several micro-batches from outputs without gradient, in their order."""
        sums = _Sums()
        for outputs in micro_batches:
            sums.add(self._values(outputs))
            constant = (name for name in outputs.computed() if name.startswith(CONSTANTS))
            self._known.append({name: outputs[name] for name in constant})
        self._settle(sums, num_items)

    def enter(self, outputs: LazyOutputs, num_items: Tensor) -> None:
        """Prepare for the loss of a micro-batch: take over what was read ahead, or form the means from it alone."""
        if self._loss is None:
            return
        if self._known:
            outputs.adopt(self._known.popleft())
            return
        sums = _Sums()
        sums.add(self._values(outputs))
        self._settle(sums, num_items)

    def over(self, micro_batches: Iterable[LazyOutputs], num_own: int) -> Mapping[str, Tensor]:
        """Return the means over the held-out rows of all ranks; what the loss remembers stays as it is.

        Args:
            micro_batches: Outputs on this rank's batches.
            num_own: The first so many of them count.
        """
        sums = _Sums()
        for number, outputs in enumerate(micro_batches):
            values = self._values(outputs)
            if number < num_own:
                sums.add(values)
        sums.gather()
        return sums.means(lambda value: value)

    def save(self, folder: Path) -> None:
        """Write what the loss remembers into a checkpoint, if it does."""
        if isinstance(self._loss, StatefulLoss):
            state = {name: value.detach().cpu().contiguous() for name, value in self._loss.state_dict().items()}
            save_file(state, folder / STATE_FILE)

    def load(self, folder: Path) -> None:
        """Give the loss back what `save` wrote.

        Raises:
            FileNotFoundError: The checkpoint is of a run whose loss remembered nothing.
        """
        if isinstance(self._loss, StatefulLoss):
            self._loss.load_state_dict(load_file(folder / STATE_FILE))

    def _settle(self, sums: _Sums, num_items: Tensor) -> None:
        self.means = sums.means(self._reduce)
        if isinstance(self._loss, StatefulLoss):
            self._loss.update(self.means, num_items)

    def _values(self, outputs: Any) -> Mapping[str, Tensor]:
        """Return the loss's values per item.

        Raises:
            ValueError: One of them has another shape than [item].
        """
        assert self._loss is not None  # nothing is read ahead for other losses
        values = self._loss.statistics(outputs)
        for name, value in values.items():
            if value.dim() != 1:
                raise ValueError(f"statistics has one dimension, [item], got shape {list(value.shape)} for {name!r}")
        return values


class _Sums:
    """Sums and counts by name."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Add the items of one micro-batch."""
        for name, value in values.items():
            pair = torch.stack([value.detach().double().sum(), torch.tensor(float(len(value)), device=value.device)])
            self._sums[name] = self._sums[name] + pair if name in self._sums else pair

    def gather(self) -> None:
        """Take in the sums of all ranks, some of which may have none."""
        self._sums = summed(self._sums)

    def means(self, reduce: Callable[[Tensor], Tensor]) -> Mapping[str, Tensor]:
        """Return the mean of each over all ranks, in one reduction."""
        if not self._sums:
            return NOTHING
        names = sorted(self._sums)
        sums, counts = reduce(torch.stack([self._sums[name] for name in names])).unbind(-1)
        return dict(zip(names, sums / counts, strict=True))


@contextmanager
def kept_random_numbers(device: torch.device) -> Iterator[None]:
    """Leave the random numbers of the CPU and of `device` after the block as they were before it."""
    if device.type == "cpu":
        with torch.random.fork_rng(devices=[]):
            yield
    else:
        with torch.random.fork_rng(devices=[device], device_type=device.type):
            yield
