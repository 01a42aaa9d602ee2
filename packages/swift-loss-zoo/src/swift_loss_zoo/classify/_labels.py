"""Which of the three kinds of labels a batch has, for losses that take only some."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def are_numbers(labels: Tensor) -> bool:
    """Say whether labels are one number a text, as in regression."""
    return labels.dim() == 1 and labels.is_floating_point()


def require_classes(labels: Tensor) -> None:
    """Raise ValueError for labels that are numbers and not classes."""
    if are_numbers(labels):
        raise ValueError("the labels are numbers, not classes; class_squared_error learns numbers")


def per_class(name: str, values: Sequence[float], logits: Tensor) -> Tensor:
    """Return an option with one value a class as a tensor, [class]; raise ValueError when there are more or fewer."""
    if len(values) != logits.shape[-1]:
        raise ValueError(f"{name} must have one value a class, {logits.shape[-1]} in all, got {len(values)}")
    return logits.new_tensor(values)
