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

from swift_optim_zoo._adam import adam_correction, adamw_
from swift_optim_zoo._base import Group, State, ZooOptimizer, next_step, zeros_in
from swift_optim_zoo._checks import check_common
from swift_optim_zoo._chunks import by_chunks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


def trust_ratio(weights: Tensor, update: Tensor) -> float:
    """Return the norm of `weights` over that of `update`, or 1 where one of them is 0; norms of pieces will do."""
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
        step, betas, weight_decay = next_step(state), group["betas"], group["weight_decay"]
        norms: list[tuple[Tensor, Tensor]] = []

        def measure(param: Tensor, piece: Tensor, first: Tensor, second: Tensor) -> None:
            found = param.clone()  # with a rate of -1 it becomes weight_decay * param + Adam's direction
            decay = {"lr": -1.0, "weight_decay": weight_decay - 1}
            adamw_(found, piece, first, second, step=step, betas=betas, eps=group["eps"], **decay)
            norms.append((param.norm(), found.norm()))

        states = zeros_in(state, "exp_avg", weights), zeros_in(state, "exp_avg_sq", weights)
        by_chunks(measure, weights, grad, *states)
        rate = float(group["lr"]) * trust_ratio(*(torch.stack(of_pieces) for of_pieces in zip(*norms, strict=True)))
        size, eps = rate * adam_correction(step, betas), group["eps"] * math.sqrt(1 - betas[1] ** step)

        def move(param: Tensor, first: Tensor, second: Tensor) -> None:
            if weight_decay:
                param.mul_(1 - rate * weight_decay)
            param.addcdiv_(first, second.sqrt().add_(eps), value=-size)

        by_chunks(move, weights, *states)
