"""LAMB: AdamW whose step is as long as the layer's weights say; for very large batches.

    m <- beta1 m + (1 - beta1) g                       v <- beta2 v + (1 - beta2) g^2
    u  = m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay * p
    p <- p - lr * |p| / |u| * u                        (the ratio of norms is 1 where one of them is 0)

You et al., 2019, arXiv:1904.00962, alg. 2, with phi the identity, or min(|p|, max_weight_norm). Without correct_bias m
and v stand as they are, as in the paper's third version.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from swift_core.plugin_api import require_nonnegative
from swift_optim_zoo._adam import adam_correction, adamw_
from swift_optim_zoo._base import Group, State, ZooOptimizer, next_step, zeros_in
from swift_optim_zoo._checks import check_common
from swift_optim_zoo._chunks import by_chunks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


_LAST_STEP = 10**12
"""A step at which nothing is left to correct."""


def trust_ratio(weights: Tensor, update: Tensor, group: Group) -> float:
    """Return the norm of `weights` over that of `update`, or 1 where one of them is 0; norms of pieces will do."""
    if not group["weight_decay"] and not group["adapt_undecayed"]:
        return 1.0
    weight_norm, update_norm = float(weights.norm()), float(update.norm())
    if group["max_weight_norm"]:
        weight_norm = min(weight_norm, group["max_weight_norm"])
    ratio = weight_norm / update_norm if weight_norm > 0 and update_norm > 0 else 1.0
    return min(ratio, 1.0) if group["trust_clip"] else ratio


class Lamb(ZooOptimizer):
    """AdamW with a learning rate per layer, in the ratio of the weights to the update (LAMB).

    Args:
        params: Parameters, named parameters, or groups.
        lr: Learning rate, >= 0: the share of its norm that a layer moves by.
        betas: Decay of the first and second moment, each in [0, 1).
        eps: Term added to the root of the second moment, >= 0.
        weight_decay: Weight decay, >= 0; part of the update whose length is set.
        correct_bias: Correct the moments as Adam does.
        adapt_undecayed: Set the length of an update also where weight_decay is 0.
        trust_clip: Let no ratio of norms be above 1, as LAMBC does.
        max_weight_norm: Largest norm that weights are taken to have, >= 0; 0 bounds none.

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
        correct_bias: bool = True,
        adapt_undecayed: bool = True,
        trust_clip: bool = False,
        max_weight_norm: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "correct_bias": correct_bias,
            "adapt_undecayed": adapt_undecayed,
            "trust_clip": trust_clip,
            "max_weight_norm": max_weight_norm,
        }
        super().__init__(params, defaults)

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)
        require_nonnegative(max_weight_norm=options["max_weight_norm"])

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        step, betas, weight_decay = next_step(state), group["betas"], group["weight_decay"]
        step = step if group["correct_bias"] else _LAST_STEP
        norms: list[tuple[Tensor, Tensor]] = []

        def measure(param: Tensor, piece: Tensor, first: Tensor, second: Tensor) -> None:
            found = param.clone()  # with a rate of -1 it becomes weight_decay * param + Adam's direction
            decay = {"lr": -1.0, "weight_decay": weight_decay - 1}
            adamw_(found, piece, first, second, step=step, betas=betas, eps=group["eps"], **decay)
            norms.append((param.norm(), found.norm()))

        states = zeros_in(state, "exp_avg", weights), zeros_in(state, "exp_avg_sq", weights)
        by_chunks(measure, weights, grad, *states)
        of_weights, of_updates = (torch.stack(pieces) for pieces in zip(*norms, strict=True))
        rate = float(group["lr"]) * trust_ratio(of_weights, of_updates, group)
        size, eps = rate * adam_correction(step, betas), group["eps"] * math.sqrt(1 - betas[1] ** step)

        def move(param: Tensor, first: Tensor, second: Tensor) -> None:
            if weight_decay:
                param.mul_(1 - rate * weight_decay)
            param.addcdiv_(first, second.sqrt().add_(eps), value=-size)

        by_chunks(move, weights, *states)
