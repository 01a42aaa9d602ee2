"""Lion: the sign of an interpolated momentum; one state tensor per parameter.

    update = sign(beta1 * m + (1 - beta1) * g)
    m     <- beta2 * m + (1 - beta2) * g
    p     <- p * (1 - lr * weight_decay) - lr * update

Chen et al., 2023, arXiv:2302.06675, alg. 2. Use an lr 3 to 10 times below AdamW's.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from swift_optim_zoo._base import Group, State, ZooOptimizer, zeros_in
from swift_optim_zoo._checks import check_common
from swift_optim_zoo._chunks import by_chunks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


def lion_(
    param: Tensor, grad: Tensor, momentum: Tensor, *, lr: float, betas: tuple[float, float], weight_decay: float
) -> None:
    """Apply one Lion step in place to `param` and `momentum`; all three share shape and dtype."""
    beta1, beta2 = betas
    update = momentum.lerp(grad, 1 - beta1).sign_()
    momentum.lerp_(grad, 1 - beta2)
    param.mul_(1 - lr * weight_decay).add_(update, alpha=-lr)


class Lion(ZooOptimizer):
    """Move every weight by lr in the direction of a momentum's sign (Lion).

    Args:
        params: Parameters, named parameters, or groups.
        lr: Learning rate, >= 0; every weight moves by exactly this much.
        betas: Weight of the momentum in the update, and its decay, each in [0, 1).
        weight_decay: Decoupled weight decay, >= 0; use 3 to 10 times AdamW's.

    Raises:
        ValueError: An option is out of its range.
    """

    works_on: ClassVar[str] = "elements"
    state_bytes: ClassVar[str] = "4 * size"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        momentum = zeros_in(state, "exp_avg", weights)
        lr, decay = float(group["lr"]), group["weight_decay"]
        by_chunks(partial(lion_, lr=lr, betas=group["betas"], weight_decay=decay), weights, grad, momentum)
