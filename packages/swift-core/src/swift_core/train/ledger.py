"""Numerators and denominators of losses and metrics, added up over micro-batches."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from swift_core.contracts.coupling import StepLoss
from swift_core.contracts.loss import LossOutput
from swift_core.train.statistics import NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class BatchLoss:
    """What one micro-batch adds to the mean over a step."""

    numerator: Tensor
    """Scalar with gradient: the weighted sum of the items' losses."""

    denominator: Tensor
    """Scalar without gradient: the sum of the items' weights."""

    metrics: Mapping[str, Tensor]
    """Values per item, [item], without gradient."""


class LossCall:
    """A loss plugin with its signature read once."""

    def __init__(self, loss: Callable[..., LossOutput | Tensor]) -> None:
        """Look at what `loss` asks for; raise TypeError when it asks for what only it could give."""
        self._loss = loss
        parameters = inspect.signature(loss).parameters.values()
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        context = {"loss_scale", "num_items_in_batch", "statistics"}
        self._wants_labels = len(positional) > 1 and positional[1].name not in context
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
        self._wants = {name for name in context if takes_any or any(p.name == name for p in parameters)}
        self.wants_statistics = any(p.name == "statistics" for p in parameters)
        if self.wants_statistics and not isinstance(loss, StepLoss):
            raise TypeError("it asks for `statistics` and has no method of that name")

    def __call__(
        self,
        outputs: Any,
        labels: Tensor,
        *,
        num_items: Tensor,
        num_items_in_batch: Tensor,
        loss_scale: Tensor | None = None,
        statistics: Mapping[str, Tensor] = NOTHING,
    ) -> BatchLoss:
        """Return what this micro-batch adds.

        Args:
            outputs: The lazy outputs of the procedure.
            labels: [batch, time], -100 where nothing is scored.
            num_items: Items of this micro-batch.
            num_items_in_batch: Items of the whole optimizer step, on all ranks.
            loss_scale: [batch, time] weights of the labels; None when every one counts 1.
            statistics: Means over the whole step, by name.

        Raises:
            TypeError: The loss returned something else than a LossOutput or a scalar.
            ValueError: Losses and weights differ in shape, or the tensor is not a scalar.
        """
        context = {"loss_scale": loss_scale, "num_items_in_batch": num_items_in_batch, "statistics": statistics}
        arguments = (outputs, labels) if self._wants_labels else (outputs,)
        result = self._loss(*arguments, **{name: context[name] for name in self._wants})
        if isinstance(result, LossOutput):
            return self._itemised(result)
        if not isinstance(result, Tensor):
            raise TypeError(f"a loss returns a LossOutput or a scalar tensor, got {type(result).__name__}")
        if result.numel() != 1:
            raise ValueError(
                f"a loss that returns a tensor returns a scalar, got shape {list(result.shape)}; "
                "return LossOutput(losses) for one loss per item"
            )
        already_divided = "num_items_in_batch" in self._wants
        count = num_items_in_batch if already_divided else num_items
        return BatchLoss(result.reshape(()).float() * count, num_items.float(), {})

    @staticmethod
    def _itemised(result: LossOutput) -> BatchLoss:
        losses = result.losses.float()
        if losses.dim() != 1:
            raise ValueError(f"LossOutput.losses has one dimension, [item], got shape {list(losses.shape)}")
        if result.weights is None:
            numerator, denominator = losses.sum(), torch.tensor(float(len(losses)), device=losses.device)
        else:
            if result.weights.shape != losses.shape:
                raise ValueError(
                    f"LossOutput.weights has the shape of losses, {list(losses.shape)}, "
                    f"got {list(result.weights.shape)}"
                )
            weights = result.weights.detach().float()
            numerator, denominator = (losses * weights).sum(), weights.sum()
        metrics = {name: value.detach().float() for name, value in result.metrics.items()}
        return BatchLoss(numerator, denominator, metrics)


class Ledger:
    """Running sums of a loss and of metrics; `means` gives their quotients over all ranks."""

    def __init__(self) -> None:
        """Start empty."""
        self._sums: dict[str, Tensor] = {}

    def add_loss(self, batch: BatchLoss) -> None:
        """Add one micro-batch's loss and leave its metrics out."""
        self._add("loss", batch.numerator.detach(), batch.denominator)

    def add(self, batch: BatchLoss) -> None:
        """Add one micro-batch."""
        self.add_loss(batch)
        for name, values in batch.metrics.items():
            self._add(name, values.nansum(), (~values.isnan()).sum())

    def add_values(self, values: Mapping[str, Tensor]) -> None:
        """Add values by name, each of any length."""
        for name, numbers in values.items():
            self._add(name, numbers.sum(), torch.tensor(float(numbers.numel()), device=numbers.device))

    def _add(self, name: str, numerator: Tensor, denominator: Tensor) -> None:
        pair = torch.stack([numerator.double(), denominator.double().to(numerator.device)])
        self._sums[name] = self._sums[name] + pair if name in self._sums else pair

    def loss(self, reduce: Callable[[Tensor], Tensor]) -> tuple[float, float]:
        """Return the mean loss over all ranks, NaN where the weights sum to zero, and the sum of its weights."""
        numerator, denominator = reduce(self._sums["loss"]).tolist()
        return numerator / denominator if denominator else float("nan"), denominator

    @property
    def names(self) -> list[str]:
        """What has been added on this rank."""
        return list(self._sums)

    def means(self, reduce: Callable[[Tensor], Tensor], names: Sequence[str] | None = None) -> dict[str, float]:
        """Return every mean over all ranks; a loss without weights is NaN, a metric that no item has is left out.

        Args:
            reduce: Adds a tensor up over ranks.
            names: What has been added on any rank, the same on all; left out, what was added here.
        """
        names = self.names if names is None else names
        if not names:
            return {}
        devices = [pair.device for pair in self._sums.values()]
        device = next((each for each in devices if each.type != "cpu"), torch.device("cpu"))
        nothing = torch.zeros(2, dtype=torch.float64)
        pairs = reduce(torch.stack([self._sums.get(name, nothing).to(device) for name in names]))
        result = {}
        for name, (numerator, denominator) in zip(names, pairs.tolist(), strict=True):
            if denominator:
                result[name] = numerator / denominator
            elif name == "loss":
                result[name] = float("nan")
        return result

    def sums(self) -> dict[str, Tensor]:
        """Return the sums so far, to go back to with `restore`."""
        return dict(self._sums)

    def add_sums(self, sums: Mapping[str, Tensor]) -> None:
        """Add what another ledger's `sums` returned."""
        for name, pair in sums.items():
            self._sums[name] = self._sums[name] + pair if name in self._sums else pair

    def restore(self, sums: dict[str, Tensor]) -> None:
        """Go back to `sums`."""
        self._sums = dict(sums)

    def clear(self) -> None:
        """Forget everything."""
        self._sums.clear()
