"""Schedule-free SGD: gradient descent that averages its iterates in place of a momentum and a falling learning rate.

    y  = (1 - momentum) z + momentum x                 gradients are taken at y: what the weights are in training
    u  = g + weight_decay * y
    z <- z - lr * u
    x <- (1 - c) x + c z,   c = w_t / (w_1 + ... + w_t),   w_t = t^r * lr_max^weight_lr_power
    lr is that of the group times min(1, t / warmup_steps)

Defazio et al., 2024, arXiv:2405.15682, eqs. 3 to 5 in the authors' form. `eval()` puts x into the weights, which is
what to evaluate and to keep; `train()` puts y back. Trainers call both. Only z is kept.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.plugin_api import require_between
from swift_optim_zoo._base import Group, State, options_in
from swift_optim_zoo._checks import require_integer
from swift_optim_zoo._chunks import by_chunks
from swift_optim_zoo._schedule_free import (
    ScheduleFreeOptimizer,
    check_average,
    descend_,
    refuse_zero,
    warmed_up,
    z_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


def schedule_free_sgd_(
    y: Tensor, grad: Tensor, z: Tensor, *, lr: float, share: float, momentum: float, weight_decay: float
) -> None:
    """Apply one step in place to `y` and `z` without forming x; `share` is c."""
    descend_(y, z, grad.add(y, alpha=weight_decay), lr=lr, share=share, beta=momentum)


class ScheduleFreeSGD(ScheduleFreeOptimizer):
    """Gradient descent that averages its iterates and needs no schedule (schedule-free).

    Use it with a constant schedule, with or without warm-up.

    Args:
        params: Parameters, named parameters, or groups.
        lr: Learning rate, >= 0; far above AdamW's.
        momentum: Share of the average in the point where gradients are taken, in (0, 1).
        weight_decay: Weight decay at y, >= 0; part of the step of z.
        r: Power of the step in the weights of the average, >= 0.
        weight_lr_power: Power of the largest learning rate so far in these weights, >= 0.
        warmup_steps: Steps over which the learning rate grows in a straight line, the first one's share is not 0; 0 for
            none.

    Raises:
        ValueError: An option is out of its range.
    """

    label: ClassVar[str] = "schedule_free_sgd"
    state_bytes: ClassVar[str] = "4 * size"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1.0,
        momentum: float = 0.9,
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
        require_between(0.0, 1.0, momentum=options["momentum"])
        require_integer(0, warmup_steps=options["warmup_steps"])
        refuse_zero(momentum=options["momentum"])

    def beta(self, group: Group) -> float:
        """Return the share of x in y."""
        return float(group["momentum"])

    def rate(self, group: Group) -> float:
        """Return the learning rate of step `num_steps` of a group."""
        return warmed_up(group)

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        step = partial(
            schedule_free_sgd_,
            lr=group["scheduled_lr"],
            share=group["share"],
            momentum=group["momentum"],
            weight_decay=group["weight_decay"],
        )
        by_chunks(step, weights, grad, z_in(state, weights))
