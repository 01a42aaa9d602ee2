"""The penalty of a tuner on what it trains: a term of the loss that no data enters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import nn


def add_penalty_(tuner: Any, model: nn.Module) -> None:
    """Add the gradient of `tuner.penalty(model)`, where it has one, to that of the step; alike on all ranks.

    Gradients of the data are complete by now: neither the number of micro-batches nor that of ranks scales the penalty.
    """
    if not hasattr(tuner, "penalty"):
        return
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with torch.enable_grad():
        gradients = torch.autograd.grad(tuner.penalty(model), trained, allow_unused=True)
    for parameter, gradient in zip(trained, gradients, strict=True):
        if gradient is not None:
            parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
