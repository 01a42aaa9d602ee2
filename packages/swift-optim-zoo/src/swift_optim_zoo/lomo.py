"""LOMO: plain gradient descent in the backward pass; no state, and never more than one gradient at a time.

    g <- clamp(g, -clip_value, clip_value)                       (0: not at all)
    p <- p * (1 - lr * weight_decay) - lr * g

Lv et al., 2023, arXiv:2306.09782, alg. 1. Each parameter moves as soon as its gradient is there, which is then freed. A
clip of the global norm (`train.max_grad_norm`) takes a first backward pass that only measures, as in the paper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.plugin_api import require_nonnegative
from swift_optim_zoo._base import Group, State, ZooOptimizer
from swift_optim_zoo._checks import check_common

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


class Lomo(ZooOptimizer):
    """Gradient descent in the backward pass (LOMO); no memory for states or for gradients.

    Args:
        params: Parameters, named parameters, or groups.
        lr: Learning rate, >= 0.
        clip_value: Largest size of an element of the gradient, >= 0; 0 clips none.
        weight_decay: Decoupled weight decay, >= 0.

    Raises:
        ValueError: An option is out of its range.
    """

    updates_in_backward: ClassVar[bool] = True
    state_bytes: ClassVar[str] = "0"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        clip_value: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "clip_value": clip_value, "weight_decay": weight_decay})

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)
        require_nonnegative(clip_value=options["clip_value"])

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        lr, bound = float(group["lr"]), group["clip_value"]
        if group["weight_decay"]:
            weights.mul_(1 - lr * group["weight_decay"])
        weights.add_(grad.clamp(-bound, bound) if bound else grad, alpha=-lr)
