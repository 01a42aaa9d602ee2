"""Signum: the sign of a momentum, every weight moved by the same length; one state per weight.

    m <- beta * m + (1 - beta) * g
    p <- p * (1 - lr * weight_decay) - lr * sign(m)

Bernstein et al., 2018, arXiv:1802.04434, alg. 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from acme_swift_signum import _native


class Signum(torch.optim.Optimizer):
    """Move every weight by lr against the sign of its momentum; contiguous float32 parameters in host memory.

    Args:
        params: Parameters, or groups of them.
        lr: Length of every move, >= 0.
        beta: Decay of the momentum, in [0, 1).
        weight_decay: Share of a weight, times lr, that each step removes, >= 0.

    Raises:
        ValueError: An option is out of range, or a parameter is one that the kernel cannot take.
    """

    moves_parameters_alone: ClassVar[bool] = True
    state_bytes: ClassVar[str] = "4 * size"

    def __init__(
        self, params: Iterable[Any], *, lr: float = 1e-4, beta: float = 0.9, weight_decay: float = 0.0
    ) -> None:
        if not 0 <= beta < 1:
            raise ValueError(f"beta must be in [0, 1), got {beta}")
        if lr < 0 or weight_decay < 0:
            raise ValueError(f"lr and weight_decay must be >= 0, got {lr} and {weight_decay}")
        super().__init__(params, {"lr": lr, "beta": beta, "weight_decay": weight_decay})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; raise ValueError for a parameter that the kernel cannot take."""
        super().add_param_group(param_group)
        for param in self.param_groups[-1]["params"]:
            _check(param, "parameter")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Move every parameter that has a gradient; return what `closure` returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._move([param for param in group["params"] if param.grad is not None], group)
        return loss

    def _move(self, params: list[Tensor], group: dict[str, Any]) -> None:
        grads = [param.grad.contiguous() for param in params if param.grad is not None]
        rows = []
        for param, grad in zip(params, grads, strict=True):
            _check(grad, "gradient")
            if "momentum" not in self.state[param]:
                self.state[param]["momentum"] = torch.zeros_like(param)
            momentum = self.state[param]["momentum"]
            rows.append((param.data_ptr(), grad.data_ptr(), momentum.data_ptr(), param.numel()))
        decay = 1 - group["lr"] * group["weight_decay"]
        _native.step(rows, group["beta"], decay, group["lr"], torch.get_num_threads())
        if params:
            torch.autograd.graph.increment_version(params)


def _check(tensor: Tensor, what: str) -> None:
    if tensor.device.type != "cpu" or tensor.dtype is not torch.float32 or not tensor.is_contiguous():
        seen = f"{tensor.dtype} on {tensor.device} with strides {tensor.stride()}"
        raise ValueError(f"Signum needs a contiguous float32 {what} on the CPU, got {seen}")
