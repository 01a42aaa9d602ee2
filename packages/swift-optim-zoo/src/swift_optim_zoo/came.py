"""CAME: Adafactor with a first moment, trusted less where updates have not agreed with it.

    u  = g / sqrt(V),  V factored as in Adafactor, of g^2 + eps, decay beta2
    u  = u / max(1, rms(u) / clip_threshold)
    m <- beta1 m + (1 - beta1) u
    S  = factored mean of (u - m)^2 + eps_confidence, decay beta3        (tensors below two dimensions: none)
    p <- p * (1 - lr * weight_decay) - lr * m / sqrt(S)

Luo et al., 2023, arXiv:2307.02047, alg. 2. Second moments are not bias-corrected, as in the authors' code.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.plugin_api import require_between, require_nonnegative, require_positive
from swift_optim_zoo._base import Group, State, ZooOptimizer, zeros_in
from swift_optim_zoo._checks import check_common
from swift_optim_zoo._chunks import row_blocks
from swift_optim_zoo._factored import clip_update_, root_factors, scaled_gradient, update_means_

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


class Came(ZooOptimizer):
    """Adafactor with confidence in its momentum (CAME); one state per weight and two rows and columns per matrix.

    Args:
        params: Parameters, named parameters, or groups.
        lr: Learning rate, >= 0.
        betas: Decay of the first and second moment, each in [0, 1).
        beta3: Decay of the mean that says how far updates have agreed, in [0, 1).
        eps: Added to squared gradients, >= 0.
        eps_confidence: Added to squared differences of update and momentum, > 0.
        clip_threshold: Largest root mean square of an update before it is scaled down, > 0.
        weight_decay: Decoupled weight decay, >= 0.

    Raises:
        ValueError: An option is out of its range.
    """

    works_on: ClassVar[str] = "matrices"
    state_bytes: ClassVar[str] = "8 * size"
    matrix_state_bytes: ClassVar[str] = "4 * size + 8 * (rows + columns)"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.999),
        beta3: float = 0.9999,
        eps: float = 1e-30,
        eps_confidence: float = 1e-16,
        clip_threshold: float = 1.0,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "beta3": beta3,
            "eps": eps,
            "eps_confidence": eps_confidence,
            "clip_threshold": clip_threshold,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults)

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)
        require_nonnegative(eps=options["eps"])
        require_between(0.0, 1.0, beta3=options["beta3"])
        require_positive(eps_confidence=options["eps_confidence"], clip_threshold=options["clip_threshold"])

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        lr, (beta1, beta2) = float(group["lr"]), group["betas"]
        if grad.dim() >= 2:
            _matrix_step(weights, grad, state, group)
            return
        change = scaled_gradient(grad, state, beta=beta2, eps=group["eps"])
        clip_update_(change, group["clip_threshold"])
        momentum = zeros_in(state, "exp_avg", weights).lerp_(change, 1 - beta1)
        weights.mul_(1 - lr * group["weight_decay"]).add_(momentum, alpha=-lr)


def _matrix_step(weights: Tensor, grad: Tensor, state: State, group: Group) -> None:
    """Move a matrix block of rows by block: what all operations over a block read stays in the cache."""
    lr, (beta1, beta2), blocks = float(group["lr"]), group["betas"], list(row_blocks(grad))
    row, column = zeros_in(state, "exp_avg_sq_row", grad[..., 0]), zeros_in(state, "exp_avg_sq_col", grad[..., 0, :])
    update_means_(row, column, blocks, lambda block: grad[block].square(), beta=beta2, eps=group["eps"])
    by_row, by_column = root_factors(row, column)
    squares = sum(float((grad[block] * by_row[block]).mul_(by_column).norm()) ** 2 for block in blocks)
    by_row = by_row / max(1.0, math.sqrt(squares / grad.numel()) / group["clip_threshold"])
    momentum = zeros_in(state, "exp_avg", weights)

    def disagreement(block: slice) -> Tensor:
        change = (grad[block] * by_row[block]).mul_(by_column)
        return change.sub_(momentum[block].lerp_(change, 1 - beta1)).square_()

    row, column = zeros_in(state, "exp_avg_res_row", grad[..., 0]), zeros_in(state, "exp_avg_res_col", grad[..., 0, :])
    update_means_(row, column, blocks, disagreement, beta=group["beta3"], eps=group["eps_confidence"])
    by_row, by_column = root_factors(row, column)
    for block in blocks:
        if group["weight_decay"]:
            weights[block].mul_(1 - lr * group["weight_decay"])
        weights[block].addcmul_(momentum[block] * by_row[block], by_column, value=-lr)
