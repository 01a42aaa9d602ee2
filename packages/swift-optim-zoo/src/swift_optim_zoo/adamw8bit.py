"""AdamW with moments of 8 bits: a quarter of AdamW's memory.

    m <- beta1 m + (1 - beta1) g                       v <- beta2 v + (1 - beta2) g^2
    p <- p * (1 - lr * weight_decay) - lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
    m and v are kept in one byte each, in blocks of 256 with a scale of their own

Dettmers et al., 2021, arXiv:2110.02861. The codes here are logarithms, rounded to the nearest for m
and by chance for v.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from swift_optim_zoo._base import Group, State, ZooOptimizer
from swift_optim_zoo._checks import check_common
from swift_optim_zoo._eight_bit import AdamOptions, adam8bit_step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


class AdamW8bit(ZooOptimizer):
    """AdamW with moments of 8 bits in blocks; tensors below 4096 elements keep float32 moments.

    Args:
        params: Parameters, named parameters, or groups.
        lr: Learning rate, >= 0.
        betas: Decay of the first and second moment, each in [0, 1).
        eps: Term added to the root of the second moment, >= 0.
        weight_decay: Decoupled weight decay, >= 0.

    Raises:
        ValueError: An option is out of its range.
    """

    state_bytes: ClassVar[str] = "8 * size if size < 4096 else 2 * size + 8 * ceil(size / 256)"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay})

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        options = AdamOptions(float(group["lr"]), group["betas"], group["eps"], group["weight_decay"])
        adam8bit_step(weights, grad, state, options)
