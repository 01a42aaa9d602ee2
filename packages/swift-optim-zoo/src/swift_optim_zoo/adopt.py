"""ADOPT: Adam whose second moment does not yet hold the gradient that it divides.

    t = 0:   v <- g^2, and nothing moves
    t >= 1:  u  = clip(g / max(sqrt(v), eps), -t^clip_power, t^clip_power)
             m <- beta1 m + (1 - beta1) u
             p <- p * (1 - lr * weight_decay) - lr * m
             v <- beta2 v + (1 - beta2) g^2

Taniguchi et al., 2024, arXiv:2411.02853, alg. 2, with the clipping of its second version. With decoupled_decay off
weight_decay * p is added to every g instead.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.plugin_api import require_nonnegative, require_positive
from swift_optim_zoo._base import Group, State, ZooOptimizer, next_step, zeros_in
from swift_optim_zoo._checks import check_common
from swift_optim_zoo._chunks import by_chunks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


def adopt_(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    limit: float,
) -> None:
    """Apply one ADOPT step in place, from the second on; `limit` bounds the normalized gradient."""
    beta1, beta2 = betas
    normalized = exp_avg_sq.sqrt().clamp_(min=eps).reciprocal_().mul_(grad).clamp_(-limit, limit)
    exp_avg.lerp_(normalized, 1 - beta1)
    param.mul_(1 - lr * weight_decay).add_(exp_avg, alpha=-lr)
    exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)


class Adopt(ZooOptimizer):
    """Adam that converges whatever its beta2 is (ADOPT); the first step only measures.

    Args:
        params: Parameters, named parameters, or groups.
        lr: Learning rate, >= 0.
        betas: Decay of the first and second moment, each in [0, 1).
        eps: Smallest root of the second moment, > 0.
        weight_decay: Decoupled weight decay, >= 0.
        clip: Bound normalized gradients by a power of the step.
        clip_power: That power, >= 0.
        decoupled_decay: Take the decay off the weights; otherwise it is added to the gradient.

    Raises:
        ValueError: An option is out of its range.
    """

    works_on: ClassVar[str] = "elements"
    state_bytes: ClassVar[str] = "8 * size"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.9999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        clip: bool = True,
        clip_power: float = 0.25,
        decoupled_decay: bool = True,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "clip": clip,
            "clip_power": clip_power,
            "decoupled_decay": decoupled_decay,
        }
        super().__init__(params, defaults)

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)
        require_positive(eps=options["eps"])
        require_nonnegative(clip_power=options["clip_power"])

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        num_moves, decay = next_step(state) - 1, group["weight_decay"]
        if decay and not group["decoupled_decay"]:
            grad, decay = grad.add(weights, alpha=decay), 0.0
        exp_avg, exp_avg_sq = zeros_in(state, "exp_avg", weights), zeros_in(state, "exp_avg_sq", weights)
        if num_moves == 0:
            exp_avg_sq.addcmul_(grad, grad)
            return
        step = partial(
            adopt_,
            lr=float(group["lr"]),
            betas=group["betas"],
            eps=group["eps"],
            weight_decay=decay,
            limit=num_moves ** group["clip_power"] if group["clip"] else float("inf"),
        )
        by_chunks(step, weights, grad, exp_avg, exp_avg_sq)
