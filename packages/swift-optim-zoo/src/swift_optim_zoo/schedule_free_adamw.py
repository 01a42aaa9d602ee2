"""Schedule-free AdamW: an average of the iterates in place of a falling learning rate.

    y  = (1 - beta1) z + beta1 x                       gradients are taken at y: what the weights are in training
    v <- beta2 v + (1 - beta2) g^2
    u  = g / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay * y
    z <- z - lr * u
    x <- (1 - c) x + c z,   c = w_t / (w_1 + ... + w_t),   w_t = t^r * lr_max^weight_lr_power
    lr is that of the group times min(1, t / warmup_steps)

Defazio et al., 2024, arXiv:2405.15682, alg. 1 in the authors' form. `eval()` puts x into the weights, which is what to
evaluate and to keep; `train()` puts y back. Trainers call both. Only z and v are kept.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from swift_optim_zoo._base import Group, State, options_in, zeros_in
from swift_optim_zoo._checks import require_integer
from swift_optim_zoo._chunks import by_chunks
from swift_optim_zoo._schedule_free import (
    ScheduleFreeOptimizer,
    adam_direction,
    check_average,
    descend_,
    refuse_zero,
    warmed_up,
    z_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


def schedule_free_adamw_(
    y: Tensor,
    grad: Tensor,
    z: Tensor,
    exp_avg_sq: Tensor,
    *,
    step: int,
    lr: float,
    share: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> None:
    """Apply one step in place to `y`, `z` and the second moment without forming x; `share` is c, `step` is from 1."""
    direction = adam_direction(grad, exp_avg_sq, step=step, beta2=betas[1], eps=eps)
    descend_(y, z, direction.add_(y, alpha=weight_decay), lr=lr, share=share, beta=betas[0])


class ScheduleFreeAdamW(ScheduleFreeOptimizer):
    """AdamW that averages its iterates and needs no schedule (schedule-free).

    Use it with a constant schedule, with or without warm-up.

    Args:
        params: Parameters, named parameters, or groups.
        lr: Learning rate, >= 0; 1 to 10 times AdamW's.
        betas: Share of the average in the point where gradients are taken, in (0, 1), and decay of the second moment.
        eps: Term added to the root of the second moment, >= 0.
        weight_decay: Weight decay at y, >= 0; part of the step of z.
        r: Power of the step in the weights of the average, >= 0.
        weight_lr_power: Power of the largest learning rate so far in these weights, >= 0.
        warmup_steps: Steps over which the learning rate grows in a straight line, the first one's share is not 0; 0 for
            none.

    Raises:
        ValueError: An option is out of its range.
    """

    label: ClassVar[str] = "schedule_free_adamw"
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
        warmup_steps: int = 0,
    ) -> None:
        super().__init__(params, options_in(locals()))

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_average(options)
        require_integer(0, warmup_steps=options["warmup_steps"])
        refuse_zero(beta1=options["betas"][0])

    def beta(self, group: Group) -> float:
        """Return the share of x in y."""
        return float(group["betas"][0])

    def rate(self, group: Group) -> float:
        """Return the learning rate of step `num_steps` of a group."""
        return warmed_up(group)

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        step = partial(
            schedule_free_adamw_,
            step=group["num_steps"],
            lr=group["scheduled_lr"],
            share=group["share"],
            betas=group["betas"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
        )
        by_chunks(step, weights, grad, z_in(state, weights), zeros_in(state, "exp_avg_sq", weights))
