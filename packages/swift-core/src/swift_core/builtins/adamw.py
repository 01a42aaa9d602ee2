"""AdamW: Adam with weight decay taken from the weights and not from the gradient.

    m <- beta1 * m + (1 - beta1) * g          v <- beta2 * v + (1 - beta2) * g^2
    p <- p * (1 - lr * weight_decay) - lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

Loshchilov and Hutter, 2019, arXiv:1711.05101, alg. 2. torch's implementation. Its fused kernel on a CPU reads memory in
the order in which it lies: it gets contiguous tensors only, and what it has moved is marked as changed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.autograd.graph import increment_version

from swift_core.contracts.checks import require_between, require_nonnegative, require_positive

if TYPE_CHECKING:
    from collections.abc import Iterable

_FUSED_DEVICES = ("cpu", "cuda")


class AdamW(torch.optim.AdamW):
    """Adam with decoupled weight decay, as torch has it, in one fused kernel on CPU and CUDA."""

    works_on: ClassVar[str] = "elements"
    moves_parameters_alone: ClassVar[bool] = True
    state_bytes: ClassVar[str] = "2 * width * size"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        """Optimize `params`.

        Args:
            params: Parameters, named parameters, or groups.
            lr: Learning rate, >= 0.
            betas: Decay of the first and of the second moment, each in [0, 1).
            eps: Term that keeps the denominator from zero, > 0.
            weight_decay: Decay of the weights a step, in units of lr, >= 0; a group's own wins.
        """
        require_positive(eps=eps)
        require_nonnegative(lr=lr, weight_decay=weight_decay)
        require_between(0.0, 1.0, beta1=betas[0], beta2=betas[1])
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        self._watch_steps()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        if "_optimizer_step_pre_hooks" in self.__dict__ and not self._optimizer_step_pre_hooks:
            self._watch_steps()  # a copy has lost them

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, and look again whether torch has a fused kernel for all parameters."""
        super().add_param_group(param_group)
        fused = all(map(_is_fusable, (param for group in self.param_groups for param in group["params"])))
        for group in self.param_groups:
            group["fused"] = fused
        self._step_supports_amp_scaling = fused

    def _watch_steps(self) -> None:
        self.register_step_pre_hook(_lay_out_gradients)
        self.register_step_post_hook(_count_versions)


def _is_fusable(param: torch.Tensor) -> bool:
    return param.device.type in _FUSED_DEVICES and param.is_floating_point() and param.is_contiguous()


def _moving(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [param for group in optimizer.param_groups for param in group["params"] if param.grad is not None]


def _lay_out_gradients(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    for param in _moving(optimizer):
        grad = param.grad
        if grad is not None and grad.layout is torch.strided and not grad.is_contiguous():
            param.grad = grad.contiguous()


def _count_versions(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    increment_version(_moving(optimizer))
