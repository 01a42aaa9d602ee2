"""GrokAdamW: AdamW on gradients with their own slow mean added (Grokfast), each clipped by itself.

    g <- g * min(1, gradient_clipping / (||g|| + 1e-6))          for every parameter by itself; 0 does not clip
    e <- alpha e + (1 - alpha) g,    h = g + lamb * e
    m <- b m + (1 - b) h,            b = beta1 (1 - gamma)^i     for the i-th parameter of a group, from 0
    v <- beta2 v + (1 - beta2) h^2
    p <- p * (1 - lr * weight_decay) - lr * sqrt(1 - beta2^t) / (1 - beta1^t) * m / (sqrt(v) + eps)

As the package `grokadamw` 0.1.2 computes it without functions of a grokking signal, which is how transformers uses it;
the slow mean is Grokfast-EMA of Lee et al., 2024, arXiv:2405.20233, alg. 2. The correction of m takes beta1 and not b,
as there.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.plugin_api import require_between, require_nonnegative
from swift_optim_zoo._base import Group, State, ZooOptimizer, next_step, options_in, zeros_in
from swift_optim_zoo._checks import check_common
from swift_optim_zoo._chunks import by_chunks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

_TINY = 1e-6
"""What torch's clipping adds to a norm."""


class GrokAdamW(ZooOptimizer):
    """AdamW on gradients that their slow mean is added to (GrokAdamW); three states per weight.

    Args:
        params: Parameters, named parameters, or groups.
        lr: Learning rate, >= 0.
        betas: Decay of the first and second moment, each in [0, 1).
        eps: Term added to the root of the second moment, >= 0.
        weight_decay: Decoupled weight decay, >= 0.
        alpha: Decay of the slow mean, in [0, 1).
        lamb: How much the slow mean counts beside the gradient, >= 0.
        gamma: Share by which beta1 falls from each parameter of a group to the next, in [0, 1).
        gradient_clipping: Largest norm of one parameter's gradient, >= 0; 0 for none.

    Raises:
        ValueError: An option is out of its range.
    """

    state_bytes: ClassVar[str] = "12 * size"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        alpha: float = 0.98,
        lamb: float = 2.0,
        gamma: float = 0.1,
        gradient_clipping: float = 1.0,
    ) -> None:
        super().__init__(params, options_in(locals()))

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)
        require_between(0.0, 1.0, alpha=options["alpha"], gamma=options["gamma"])
        require_nonnegative(lamb=options["lamb"], gradient_clipping=options["gradient_clipping"])

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        step, lr, (beta1, beta2) = next_step(state), float(group["lr"]), group["betas"]
        own_beta1 = beta1 * (1 - group["gamma"]) ** index
        limit = group["gradient_clipping"]
        factor = min(1.0, limit / (float(grad.norm()) + _TINY)) if limit else 1.0
        rate = lr * math.sqrt(1 - beta2**step) / (1 - beta1**step)

        def move(param: Tensor, piece: Tensor, slow: Tensor, first: Tensor, second: Tensor) -> None:
            clipped = piece.mul(factor)
            slow.lerp_(clipped, 1 - group["alpha"])
            clipped.add_(slow, alpha=group["lamb"])
            first.lerp_(clipped, 1 - own_beta1)
            second.mul_(beta2).addcmul_(clipped, clipped, value=1 - beta2)
            param.mul_(1 - lr * group["weight_decay"])
            param.addcdiv_(first, second.sqrt().add_(group["eps"]), value=-rate)

        states = (zeros_in(state, name, weights) for name in ("exp_avg_slow", "exp_avg", "exp_avg_sq"))
        by_chunks(move, weights, grad, *states)
