"""AdEMAMix: AdamW with a second, much slower mean of the gradients beside the first.

    m1 <- beta1 m1 + (1 - beta1) g
    m2 <- beta3(t) m2 + (1 - beta3(t)) g
    v  <- beta2 v + (1 - beta2) g^2
    p  <- p * (1 - lr * weight_decay) - lr * (m1 / (1 - beta1^t) + alpha(t) m2) / (sqrt(v / (1 - beta2^t)) + eps)

    alpha(t) = alpha * min(t / alpha_warmup, 1)
    beta3(t) = min(exp(log(beta1) log(beta3) / ((1 - s) log(beta3) + s log(beta1))), beta3),  s = t / beta3_warmup

Pagliardini, Ablin and Grangier, 2024, arXiv:2409.03137, alg. 1 and eq. (AdEMAMix). A warm-up of 0 steps is none; the
paper warms both up over the whole run.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.plugin_api import require_between, require_nonnegative
from swift_optim_zoo._base import Group, State, ZooOptimizer, next_step, zeros_in
from swift_optim_zoo._checks import check_common, require_integer
from swift_optim_zoo._chunks import by_chunks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


def slow_weight(step: int, alpha: float, num_warmup_steps: int) -> float:
    """Return how much the slow mean counts at `step`, from 1: in a straight line from 0 to `alpha`."""
    return alpha * min(step / num_warmup_steps, 1.0) if num_warmup_steps else alpha


def slow_decay(step: int, beta1: float, beta3: float, num_warmup_steps: int) -> float:
    """Return the slow mean's decay at `step`, from 1: its half-life grows in a straight line from that of `beta1`."""
    if step >= num_warmup_steps:
        return beta3
    share = step / num_warmup_steps
    low, high = math.log(beta1), math.log(beta3)
    return min(math.exp(low * high / ((1 - share) * high + share * low)), beta3)


class AdEMAMix(ZooOptimizer):
    """AdamW with two means of the gradient, one of them very slow (AdEMAMix); three states per weight.

    Args:
        params: Parameters, named parameters, or groups.
        lr: Learning rate, >= 0.
        betas: Decay of the fast mean and of the second moment, each in [0, 1).
        beta3: Decay of the slow mean, in [0, 1).
        alpha: How much the slow mean counts beside the fast one, >= 0.
        alpha_warmup: Steps over which alpha grows from 0; 0 for none.
        beta3_warmup: Steps over which the slow mean slows down from beta1 to beta3; 0 for none.
        eps: Term added to the root of the second moment, >= 0.
        weight_decay: Decoupled weight decay, >= 0.

    Raises:
        ValueError: An option is out of its range.
    """

    works_on: ClassVar[str] = "elements"
    state_bytes: ClassVar[str] = "12 * size"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        beta3: float = 0.9999,
        alpha: float = 5.0,
        alpha_warmup: int = 0,
        beta3_warmup: int = 0,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "beta3": beta3,
            "alpha": alpha,
            "alpha_warmup": alpha_warmup,
            "beta3_warmup": beta3_warmup,
            "eps": eps,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults)

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)
        require_between(0.0, 1.0, beta3=options["beta3"])
        require_nonnegative(alpha=options["alpha"])
        require_integer(0, alpha_warmup=options["alpha_warmup"], beta3_warmup=options["beta3_warmup"])
        beta1 = options["betas"][0]
        if options["beta3_warmup"] and not 0 < beta1 <= options["beta3"]:
            raise ValueError(f"beta3_warmup needs 0 < beta1 <= beta3, got beta1 {beta1} and beta3 {options['beta3']}")

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        step, lr, (beta1, beta2) = next_step(state), float(group["lr"]), group["betas"]
        beta3 = slow_decay(step, beta1, group["beta3"], group["beta3_warmup"])
        mix = slow_weight(step, group["alpha"], group["alpha_warmup"])

        def move(param: Tensor, piece: Tensor, fast: Tensor, slow: Tensor, second: Tensor) -> None:
            fast.lerp_(piece, 1 - beta1)
            slow.lerp_(piece, 1 - beta3)
            second.mul_(beta2).addcmul_(piece, piece, value=1 - beta2)
            mixed = fast.div(1 - beta1**step).add_(slow, alpha=mix)
            denominator = second.sqrt().div_(math.sqrt(1 - beta2**step)).add_(group["eps"])
            param.mul_(1 - lr * group["weight_decay"]).addcdiv_(mixed, denominator, value=-lr)

        states = (zeros_in(state, name, weights) for name in ("exp_avg", "exp_avg_slow", "exp_avg_sq"))
        by_chunks(move, weights, grad, *states)
