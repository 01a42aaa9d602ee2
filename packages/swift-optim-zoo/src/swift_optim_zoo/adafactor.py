"""Adafactor: Adam's second moment kept as one row and one column per matrix.

    beta_t = 1 - t^decay_rate
    R <- beta_t R + (1 - beta_t) row means of (g^2 + eps)
    C <- beta_t C + (1 - beta_t) column means of (g^2 + eps)
    u  = g / sqrt(R C / mean(R))                     (tensors below two dimensions keep the whole second moment)
    u  = u / max(1, rms(u) / clip_threshold)
    a  = lr                                          (relative_step: min(lr, 1 / sqrt(t)); warmup_init: 1e-6 t too)
    a  = a * max(eps_scale, rms(p))                  (only with scale_parameter)
    d  = a * u                                       (beta1 > 0: its running mean, d <- beta1 d + (1 - beta1) a u)
    p <- p * (1 - lr * weight_decay) - d             (scaled_decay: a * weight_decay)

Shazeer and Stern, 2018, arXiv:1804.04235, alg. 4 and 5. With both switches on it is torch.optim.Adafactor, with both
off (the default) what transformers trains with under `optim: adafactor`. Of more than two dimensions the last two are
factored.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.plugin_api import require_between, require_positive
from swift_optim_zoo._base import Group, State, ZooOptimizer, next_step, zeros_in
from swift_optim_zoo._checks import check_common
from swift_optim_zoo._factored import clip_update_, root_mean_square, scaled_gradient

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

_FIRST_STEP = 1e-6
"""Relative step at the beginning of a warm-up."""


class Adafactor(ZooOptimizer):
    """Adam without first moment, its second one a row and a column per matrix (Adafactor).

    Args:
        params: Parameters, named parameters, or groups.
        lr: Learning rate, >= 0; with relative_step its largest value.
        eps: Added to squared gradients, >= 0.
        eps_scale: Smallest scale of a parameter when scale_parameter is on, >= 0.
        clip_threshold: Largest root mean square of an update before it is scaled down, > 0.
        decay_rate: Power of the step in the second moment's decay, in [-1, 0).
        beta1: Decay of a first moment, in [0, 1); 0 keeps none and saves its memory.
        weight_decay: Decoupled weight decay, >= 0; taken by lr, not by the scaled step, unless scaled_decay is on.
        scale_parameter: Make steps relative to the root mean square of the parameter.
        relative_step: Let the learning rate fall as 1 / sqrt(step); lr is then its ceiling.
        warmup_init: Let a relative step begin at 1e-6 and grow by as much each step; needs relative_step.
        scaled_decay: Take the decay by the step as it is scaled.

    Raises:
        ValueError: An option is out of its range.
    """

    works_on: ClassVar[str] = "matrices"
    state_bytes: ClassVar[str] = "4 * size + (4 * size if beta1 else 0)"
    matrix_state_bytes: ClassVar[str] = "4 * (rows + columns) + (4 * size if beta1 else 0)"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        eps: float = 1e-30,
        eps_scale: float = 1e-3,
        clip_threshold: float = 1.0,
        decay_rate: float = -0.8,
        beta1: float = 0.0,
        weight_decay: float = 0.0,
        scale_parameter: bool = False,
        relative_step: bool = False,
        warmup_init: bool = False,
        scaled_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "eps": eps,
            "eps_scale": eps_scale,
            "clip_threshold": clip_threshold,
            "decay_rate": decay_rate,
            "beta1": beta1,
            "weight_decay": weight_decay,
            "scale_parameter": scale_parameter,
            "relative_step": relative_step,
            "warmup_init": warmup_init,
            "scaled_decay": scaled_decay,
        }
        super().__init__(params, defaults)

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)
        require_positive(clip_threshold=options["clip_threshold"])
        require_between(0.0, math.inf, eps_scale=options["eps_scale"])
        require_between(0.0, 1.0, beta1=options["beta1"])
        require_between(-1.0, 0.0, decay_rate=options["decay_rate"])
        if options["warmup_init"] and not options["relative_step"]:
            raise ValueError(f"warmup_init needs relative_step, got relative_step {options['relative_step']}")

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        step, lr = next_step(state), float(group["lr"])
        change = scaled_gradient(grad, state, beta=1 - step ** group["decay_rate"], eps=group["eps"])
        clip_update_(change, group["clip_threshold"])
        size = _step_size(weights, step, lr, group)
        change.mul_(size)
        if group["beta1"]:
            change = zeros_in(state, "exp_avg", weights).lerp_(change, 1 - group["beta1"])
        weights.mul_(1 - (size if group["scaled_decay"] else lr) * group["weight_decay"]).sub_(change)


def _step_size(weights: Tensor, step: int, lr: float, group: Group) -> float:
    size = min(lr, 1 / math.sqrt(step)) if group["relative_step"] else lr
    size = min(size, _FIRST_STEP * step) if group["warmup_init"] else size
    return size * max(group["eps_scale"], root_mean_square(weights)) if group["scale_parameter"] else size
