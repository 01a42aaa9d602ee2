"""Steps of AdamW with 8-bit moments by the kernels of swift-native, for one tensor at a time.

GaLore has tensors that live for a step only, its projected gradients; so all go through one parameter, which is given
the tensor, its gradient and its state for as long as its step takes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import torch
from torch.autograd.graph import increment_version

if TYPE_CHECKING:
    from torch import Tensor

    from swift_optim_zoo._base import State
    from swift_optim_zoo._eight_bit import AdamOptions


class LoneSteps:
    """The kernels of swift-native behind one parameter."""

    def __init__(self) -> None:
        self._place = torch.nn.Parameter(torch.zeros(1))
        self._optimizer = import_module("swift_native").AdamW([self._place], moments="8bit")

    def step(self, weights: Tensor, grad: Tensor, state: State, options: AdamOptions) -> None:
        """Move `weights` (float32, in host memory) in place; `state` gets codes of swift-native."""
        self._optimizer.param_groups[0].update(options._asdict())
        self._optimizer.state = {self._place: state}
        self._place.data, self._place.grad = weights, grad
        self._optimizer.step()
        self._place.grad, self._place.data = None, torch.empty(0)
        increment_version(weights)

    def direction(self, grad: Tensor, state: State, options: AdamOptions) -> Tensor:
        """Return Adam's direction for `grad` as a new tensor: where a weight of 0 moves with a rate of -1."""
        moved = torch.zeros_like(grad)
        self.step(moved, grad, state, options._replace(lr=1.0, weight_decay=0.0))
        return moved.neg_()
