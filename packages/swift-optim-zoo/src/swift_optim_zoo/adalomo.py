"""AdaLomo: LOMO with Adafactor's second moment, each parameter's update scaled by itself.

    beta_t = 1 - t^decay_rate
    g <- clamp(g, -clip_value, clip_value)                       (0: not at all)
    u  = g / sqrt(V),  V factored as in Adafactor, of g^2 + eps, decay beta_t
    u  = u / max(1, rms(u) / clip_threshold)
    a  = lr * max(eps_scale, rms(p))
    p <- p * (1 - a * weight_decay) - a * u

Lv et al., 2023, arXiv:2310.10195, alg. 1. Updates are normalized parameter by parameter: no clip of the
global norm is needed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.plugin_api import require_between, require_nonnegative, require_positive
from swift_optim_zoo._base import Group, State, ZooOptimizer, next_step
from swift_optim_zoo._checks import check_common
from swift_optim_zoo._factored import clip_update_, root_mean_square, scaled_gradient

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


class AdaLomo(ZooOptimizer):
    """Adafactor's step in the backward pass (AdaLomo); hardly any memory for states, none for gradients.

    Args:
        params: Parameters, named parameters, or groups.
        lr: Learning rate, >= 0; a parameter moves by this share of its root mean square.
        eps: Added to squared gradients, >= 0.
        eps_scale: Smallest root mean square that a parameter is taken to have, >= 0.
        clip_threshold: Largest root mean square of an update before it is scaled down, > 0.
        decay_rate: Power of the step in the second moment's decay, in [-1, 0).
        clip_value: Largest size of an element of the gradient, >= 0; 0 clips none.
        weight_decay: Weight decay, >= 0; taken by the scaled step.

    Raises:
        ValueError: An option is out of its range.
    """

    updates_in_backward: ClassVar[bool] = True
    state_bytes: ClassVar[str] = "4 * size"
    matrix_state_bytes: ClassVar[str] = "4 * (rows + columns)"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        eps: float = 1e-30,
        eps_scale: float = 1e-3,
        clip_threshold: float = 1.0,
        decay_rate: float = -0.8,
        clip_value: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "eps": eps,
            "eps_scale": eps_scale,
            "clip_threshold": clip_threshold,
            "decay_rate": decay_rate,
            "clip_value": clip_value,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults)

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)
        require_nonnegative(clip_value=options["clip_value"])
        require_positive(clip_threshold=options["clip_threshold"])
        require_between(0.0, math.inf, eps_scale=options["eps_scale"])
        require_between(-1.0, 0.0, decay_rate=options["decay_rate"])

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        step, bound = next_step(state), group["clip_value"]
        grad = grad.clamp(-bound, bound) if bound else grad
        change = scaled_gradient(grad, state, beta=1 - step ** group["decay_rate"], eps=group["eps"])
        clip_update_(change, group["clip_threshold"])
        size = float(group["lr"]) * max(group["eps_scale"], root_mean_square(weights))
        weights.mul_(1 - size * group["weight_decay"]).add_(change, alpha=-size)
