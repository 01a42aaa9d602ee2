"""AdamW: Adam with weight decay taken from the weights and not from the gradient.

    m <- beta1 * m + (1 - beta1) * g          v <- beta2 * v + (1 - beta2) * g^2
    p <- p * (1 - lr * weight_decay) - lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

Loshchilov and Hutter, 2019, arXiv:1711.05101, alg. 2. torch's implementation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch

from swift_core.contracts.checks import require_between, require_nonnegative, require_positive

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swift_core.contracts.optimizer import ParamGroup

_FUSED_DEVICES = ("cpu", "cuda")


class AdamW(torch.optim.AdamW):
    """Adam with decoupled weight decay, as torch has it, in one fused kernel on CPU and CUDA."""

    works_on: ClassVar[str] = "elements"
    moves_parameters_alone: ClassVar[bool] = True
    state_bytes: ClassVar[str] = "2 * width * size"

    def __init__(
        self,
        params: Iterable[ParamGroup],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        """Optimize `params`.

        Args:
            params: Parameter groups.
            lr: Learning rate, > 0.
            betas: Decay of the first and of the second moment, each in [0, 1).
            eps: Term that keeps the denominator from zero, > 0.
            weight_decay: Decay of the weights a step, in units of lr, >= 0; a group's own wins.
        """
        require_positive(lr=lr, eps=eps)
        require_nonnegative(weight_decay=weight_decay)
        require_between(0.0, 1.0, beta1=betas[0], beta2=betas[1])
        groups = list(params)
        plain = [dict(group) for group in groups]
        super().__init__(plain, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=_all_fusable(groups))


def _all_fusable(groups: list[ParamGroup]) -> bool:
    """Say whether torch has a fused kernel for every parameter."""
    parameters = (parameter for group in groups for parameter in group["params"])
    return all(p.device.type in _FUSED_DEVICES and p.is_floating_point() for p in parameters)
