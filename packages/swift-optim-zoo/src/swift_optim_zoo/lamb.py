"""LAMB: AdamW whose step is as long as the layer's weights say; for very large batches.

    m <- beta1 m + (1 - beta1) g                       v <- beta2 v + (1 - beta2) g^2
    u  = m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay * p
    p <- p - lr * |p| / |u| * u                        (the ratio of norms is 1 where one of them is 0)

You et al., 2019, arXiv:1904.00962, alg. 2, with phi the identity.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from swift_optim_zoo._base import Group, State, ZooOptimizer, next_step, zeros_in
from swift_optim_zoo._checks import check_common
from swift_optim_zoo._chunks import by_chunks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


def trust_ratio(weights: Tensor, update: Tensor) -> float:
    """Return the norm of `weights` over that of `update`, or 1 where one of them is 0."""
    weight_norm, update_norm = float(weights.norm()), float(update.norm())
    return weight_norm / update_norm if weight_norm > 0 and update_norm > 0 else 1.0


class Lamb(ZooOptimizer):
    """AdamW with a learning rate per layer, in the ratio of the weights to the update (LAMB).

    Args:
        params: Parameters, named parameters, or groups.
        lr: Learning rate, >= 0: the share of its norm that a layer moves by.
        betas: Decay of the first and second moment, each in [0, 1).
        eps: Term added to the root of the second moment, >= 0.
        weight_decay: Weight decay, >= 0; part of the update whose length is set.

    Raises:
        ValueError: An option is out of its range.
    """

    state_bytes: ClassVar[str] = "8 * size"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        step, (beta1, beta2) = next_step(state), group["betas"]
        direction = torch.empty_like(weights)

        def direct(found: Tensor, param: Tensor, piece: Tensor, first: Tensor, second: Tensor) -> None:
            first.lerp_(piece, 1 - beta1)
            second.mul_(beta2).addcmul_(piece, piece, value=1 - beta2)
            denominator = second.sqrt().div_(math.sqrt(1 - beta2**step)).add_(group["eps"])
            found.copy_(denominator.reciprocal_().mul_(first).div_(1 - beta1**step))
            found.add_(param, alpha=group["weight_decay"])

        states = zeros_in(state, "exp_avg", weights), zeros_in(state, "exp_avg_sq", weights)
        by_chunks(direct, direction, weights, grad, *states)
        weights.add_(direction, alpha=-float(group["lr"]) * trust_ratio(weights, direction))
