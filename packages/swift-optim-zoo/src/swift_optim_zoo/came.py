"""CAME: Adafactor with a first moment, trusted less where updates have not agreed with it.

    u  = g / sqrt(V),  V factored as in Adafactor, of g^2 + eps, decay beta2
    u  = u / max(1, rms(u) / clip_threshold)
    m <- beta1 m + (1 - beta1) u
    S  = factored mean of (u - m)^2 + eps_confidence, decay beta3        (tensors below two dimensions: none)
    p <- p * (1 - lr * weight_decay) - lr * m / sqrt(S)

Luo et al., 2023, arXiv:2307.02047, alg. 2. Second moments are not bias-corrected, as in the authors' code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.plugin_api import require_between, require_nonnegative, require_positive
from swift_optim_zoo._base import Group, State, ZooOptimizer, zeros_in
from swift_optim_zoo._checks import check_common
from swift_optim_zoo._factored import clip_update_, factored_update_, scaled_gradient

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
        change = scaled_gradient(grad, state, beta=beta2, eps=group["eps"])
        clip_update_(change, group["clip_threshold"])
        momentum = zeros_in(state, "exp_avg", weights).lerp_(change, 1 - beta1)
        if grad.dim() >= 2:
            row = zeros_in(state, "exp_avg_res_row", grad[..., 0])
            column = zeros_in(state, "exp_avg_res_col", grad[..., 0, :])
            disagreement = change.sub_(momentum)
            momentum = factored_update_(
                disagreement, row, column, beta=group["beta3"], eps=group["eps_confidence"], numerator=momentum
            )
        weights.mul_(1 - lr * group["weight_decay"]).add_(momentum, alpha=-lr)
