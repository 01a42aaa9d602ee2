"""StableAdamW: AdamW that takes a smaller step where the gradient has outgrown the second moment.

    b1 = (beta1 - beta1^t) / (1 - beta1^t)         b2 = (beta2 - beta2^t) / (1 - beta2^t)
    m <- b1 m + (1 - b1) g                         v <- b2 v + (1 - b2) g^2
    a  = lr / max(1, sqrt(mean(g^2 / max(v, eps^2))))
    p <- p * (1 - a * weight_decay) - a * m / (sqrt(v) + eps)

Wortsman et al., 2023, arXiv:2304.13013, alg. 2. The means are unbiased by their changing decay. Takes the place of
clipping the gradient's norm.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from swift_core.plugin_api import require_positive
from swift_optim_zoo._base import Group, State, ZooOptimizer, next_step, zeros_in
from swift_optim_zoo._checks import check_common
from swift_optim_zoo._chunks import by_chunks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


def unbiased_decay(beta: float, step: int) -> float:
    """Return the decay that makes a running mean from zeros unbiased at `step`, from 1."""
    return (beta - beta**step) / (1 - beta**step)


def stable_adamw_(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    *,
    step: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> None:
    """Apply one StableAdamW step in place; `step` counts from 1."""
    beta1, beta2 = unbiased_decay(betas[0], step), unbiased_decay(betas[1], step)
    surprises: list[Tensor] = []

    def measure(piece: Tensor, first: Tensor, second: Tensor) -> None:
        first.lerp_(piece, 1 - beta1)
        second.mul_(beta2).addcmul_(piece, piece, value=1 - beta2)
        surprises.append(piece.square().div_(second.clamp(min=eps * eps)).sum())

    by_chunks(measure, grad, exp_avg, exp_avg_sq)
    size = lr / max(1.0, math.sqrt(float(torch.stack(surprises).sum()) / grad.numel()))

    def move(weights: Tensor, first: Tensor, second: Tensor) -> None:
        weights.mul_(1 - size * weight_decay).addcdiv_(first, second.sqrt().add_(eps), value=-size)

    by_chunks(move, param, exp_avg, exp_avg_sq)


class StableAdamW(ZooOptimizer):
    """AdamW with Adafactor's clipping of the update (StableAdamW); no gradient clipping is needed.

    Args:
        params: Parameters, named parameters, or groups.
        lr: Learning rate, >= 0.
        betas: Decay of the first and second moment, each in [0, 1).
        eps: Term added to the root of the second moment, > 0.
        weight_decay: Decoupled weight decay, >= 0; shrinks with the step.

    Raises:
        ValueError: An option is out of its range.
    """

    state_bytes: ClassVar[str] = "8 * size"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)
        require_positive(eps=options["eps"])

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        stable_adamw_(
            weights,
            grad,
            zeros_in(state, "exp_avg", weights),
            zeros_in(state, "exp_avg_sq", weights),
            step=next_step(state),
            lr=float(group["lr"]),
            betas=group["betas"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
        )
