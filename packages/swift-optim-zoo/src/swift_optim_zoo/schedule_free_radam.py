"""Schedule-free RAdam: schedule-free AdamW whose warm-up follows from beta2 (rectification).

    y  = (1 - beta1) z + beta1 x                       gradients are taken at y: what the weights are in training
    v <- beta2 v + (1 - beta2) g^2
    n  = m - 2 t beta2^t / (1 - beta2^t),   m = 2 / (1 - beta2) - 1      gradients that v amounts to, and their limit
    s  = sqrt((n - 4) (n - 2) m / ((m - 4) (m - 2) n))                   where n > 4
    u  = g / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay * y          where n > 4, else g + weight_decay * y
    z <- z - lr * u,   lr is that of the group times s; where n <= 4 times 0 if the first steps are silent, else times 1
    x <- (1 - c) x + c z,   c = w_t / (w_1 + ... + w_t),   w_t = t^r * lr_max^weight_lr_power

Defazio et al., 2024, arXiv:2405.15682, alg. 1 in the authors' form, with the rectification of Liu et al., 2020,
arXiv:1908.03265, alg. 2. `eval()` puts x into the weights, which is what to evaluate and to keep; `train()` puts y
back. Trainers call both. Only z and v are kept.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from swift_optim_zoo._base import Group, State, options_in, zeros_in
from swift_optim_zoo._chunks import by_chunks
from swift_optim_zoo._schedule_free import (
    ScheduleFreeOptimizer,
    adam_direction,
    check_average,
    descend_,
    refuse_zero,
    z_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

NEEDED_LENGTH = 4.0
"""Gradients that a second moment must amount to before its variance is finite."""

LEAST_BETA2 = 0.6
"""Up to here a second moment never amounts to so many: 2 / (1 - beta2) - 1 <= 4."""


def rectification(step: int, beta2: float) -> float:
    """Return the share of the learning rate at `step`, from 1; 0 while the second moment says too little."""
    limit = 2 / (1 - beta2) - 1
    length = limit - 2 * step * beta2**step / (1 - beta2**step)
    if length <= NEEDED_LENGTH:
        return 0.0
    return math.sqrt((length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length))


def schedule_free_radam_(
    y: Tensor,
    grad: Tensor,
    z: Tensor,
    exp_avg_sq: Tensor,
    *,
    step: int,
    is_rectified: bool,
    lr: float,
    share: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> None:
    """Apply one step in place to `y`, `z` and the second moment without forming x.

    `share` is c, `step` is from 1; without `is_rectified` the gradient is the direction.
    """
    direction = adam_direction(grad, exp_avg_sq, step=step, beta2=betas[1], eps=eps)
    direction = direction.add_(y, alpha=weight_decay) if is_rectified else grad.add(y, alpha=weight_decay)
    descend_(y, z, direction, lr=lr, share=share, beta=betas[0])


class ScheduleFreeRAdam(ScheduleFreeOptimizer):
    """RAdam that averages its iterates and needs neither schedule nor warm-up (schedule-free).

    Use it with a constant schedule. With `silent_sgd_phase` the first steps, four with the usual beta2, move nothing.

    Args:
        params: Parameters, named parameters, or groups.
        lr: Learning rate, >= 0; 1 to 10 times AdamW's.
        betas: Share of the average in the point where gradients are taken, in (0, 1), and decay of the second moment, >
            0.6 where `silent_sgd_phase` is on.
        eps: Term added to the root of the second moment, >= 0.
        weight_decay: Weight decay at y, >= 0; part of the step of z.
        r: Power of the step in the weights of the average, >= 0.
        weight_lr_power: Power of the largest learning rate so far in these weights, >= 0.
        silent_sgd_phase: Only measure in the first steps, while the second moment says too little; otherwise they are
            steps of gradient descent at the full learning rate.

    Raises:
        ValueError: An option is out of its range.
    """

    label: ClassVar[str] = "schedule_free_radam"
    state_bytes: ClassVar[str] = "8 * size"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 2.5e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        silent_sgd_phase: bool = True,
    ) -> None:
        super().__init__(params, options_in(locals()))

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range, or where every step would be silent."""
        check_average(options)
        refuse_zero(beta1=options["betas"][0])
        if options["silent_sgd_phase"] and options["betas"][1] <= LEAST_BETA2:
            raise ValueError(f"beta2 must be > {LEAST_BETA2} with silent_sgd_phase, got {options['betas'][1]}")

    def beta(self, group: Group) -> float:
        """Return the share of x in y."""
        return float(group["betas"][0])

    def rate(self, group: Group) -> float:
        """Return the learning rate of step `num_steps` of a group."""
        rectified = rectification(group["num_steps"], group["betas"][1])
        return float(group["lr"]) * (rectified or float(not group["silent_sgd_phase"]))

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        step = partial(
            schedule_free_radam_,
            step=group["num_steps"],
            is_rectified=rectification(group["num_steps"], group["betas"][1]) > 0,
            lr=group["scheduled_lr"],
            share=group["share"],
            betas=group["betas"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
        )
        by_chunks(step, weights, grad, z_in(state, weights), zeros_in(state, "exp_avg_sq", weights))
