"""The trained weights as they were before training, where the base model alone is not what training began from.

So it is when an adapter goes on that was trained before, and when an initialisation takes its matrices out of the base
weights (PiSSA, OLoRA).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import Tensor, nn

_ATTRIBUTE = "swift_initial_weights"


def keep(model: nn.Module) -> None:
    """Remember the trained weights of `model` as they are now."""
    kept = {name: value.detach().clone() for name, value in model.named_parameters() if value.requires_grad}
    setattr(model, _ATTRIBUTE, kept)


def kept(model: nn.Module) -> Mapping[str, Tensor]:
    """Return what was remembered, by parameter name; nothing when the base model is what training began from."""
    weights: Mapping[str, Tensor] = vars(model).get(_ATTRIBUTE, {})
    return weights


@contextmanager
def restored(model: nn.Module) -> Iterator[None]:
    """Let `model` have its first weights inside the block; graphs that were recorded before stay valid after it.

    The storage is exchanged and not overwritten: what a backward pass needs is untouched.
    """
    parameters = dict(model.named_parameters())
    present = {name: parameters[name].data for name in kept(model)}
    try:
        for name, value in kept(model).items():
            parameters[name].data = value.to(parameters[name].device)
        yield
    finally:
        for name, value in present.items():
            parameters[name].data = value
