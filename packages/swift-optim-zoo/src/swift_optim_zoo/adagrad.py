"""Adagrad: every weight has a rate of its own, that falls with the squares of all its gradients so far.

    g <- g + weight_decay * p                     (or, decoupled:  p <- p * (1 - r * weight_decay))
    r  = lr / (1 + lr_decay * (t - 1))
    s <- s + g^2                                  (the first s is initial_accumulator_value)
    p <- p - r * g / (sqrt(s) + eps)

Duchi, Hazan and Singer, 2011, "Adaptive subgradient methods for online learning and stochastic optimization",
JMLR 12, fig. 1 with diagonal matrices, in the form of torch.optim.Adagrad. Decoupled decay: arXiv:1711.05101, alg. 2.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from swift_core.plugin_api import require_nonnegative
from swift_optim_zoo._base import Group, State, ZooOptimizer, next_step
from swift_optim_zoo._checks import check_common
from swift_optim_zoo._chunks import by_chunks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


def adagrad_(param: Tensor, grad: Tensor, square_sum: Tensor, *, lr: float, eps: float) -> None:
    """Apply one Adagrad step in place to `param` and `square_sum`; all three share shape and dtype."""
    square_sum.addcmul_(grad, grad)
    param.addcdiv_(grad, square_sum.sqrt().add_(eps), value=-lr)


class Adagrad(ZooOptimizer):
    """Divide each weight's step by the root of its summed squared gradients (Adagrad); one state per weight.

    Args:
        params: Parameters, named parameters, or groups.
        lr: Learning rate, >= 0.
        lr_decay: How fast the rate falls by the count of steps too, >= 0; at 1 / n it is halved after n steps.
        eps: Added to the root of the sum, >= 0, and > 0 where the sums start at 0.
        initial_accumulator_value: What the sums start at, >= 0; larger ones make the first steps smaller.
        weight_decay: Weight decay, >= 0.
        decoupled_decay: Take the decay off the weights; otherwise it is added to the gradient, as torch does.

    Raises:
        ValueError: An option is out of its range.
    """

    works_on: ClassVar[str] = "elements"
    state_bytes: ClassVar[str] = "4 * size"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        eps: float = 1e-10,
        initial_accumulator_value: float = 0.0,
        weight_decay: float = 0.0,
        decoupled_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "initial_accumulator_value": initial_accumulator_value,
            "weight_decay": weight_decay,
            "decoupled_decay": decoupled_decay,
        }
        super().__init__(params, defaults)

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)
        require_nonnegative(lr_decay=options["lr_decay"])
        require_nonnegative(initial_accumulator_value=options["initial_accumulator_value"])
        if not options["eps"] and not options["initial_accumulator_value"]:  # 0 / 0 where a gradient is 0
            raise ValueError("eps must be > 0 where initial_accumulator_value is 0, got 0.0")

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        rate, decay = float(group["lr"]) / (1 + group["lr_decay"] * (next_step(state) - 1)), group["weight_decay"]
        if decay and group["decoupled_decay"]:
            weights.mul_(1 - rate * decay)
        elif decay:
            grad = grad.add(weights, alpha=decay)
        if "sum" not in state:
            start = group["initial_accumulator_value"]
            state["sum"] = torch.full_like(weights, start, memory_format=torch.preserve_format)
        by_chunks(partial(adagrad_, lr=rate, eps=group["eps"]), weights, grad, state["sum"])
