"""GaLore with AdamW: Adam's moments live in a low-rank projection of the gradient, refreshed every so often.

    every update_proj_gap steps:  Q = leading singular vectors of G
    R  = G Q                                   (or Q^T G, whichever is smaller)
    M <- beta1 M + (1 - beta1) R
    V <- beta2 V + (1 - beta2) R * R
    N  = M / (sqrt(V) + eps) * sqrt(1 - beta2^t) / (1 - beta1^t)
    p <- (p - lr * scale * N Q^T) * (1 - lr * weight_decay)

Zhao et al., 2024, arXiv:2403.03507, alg. 2; eps and decay stand where the authors' code has them. Parameters that are
not projected (embeddings, output head, norms, biases) take the same step with Q = identity and scale = 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from swift_optim_zoo._low_rank import LowRankOptimizer, adam_step, decay_factor, plain_step, refresh_basis
from swift_optim_zoo._projector import add_back_, project

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from swift_optim_zoo._base import Group, State


class GaLoreAdamW(LowRankOptimizer):
    """AdamW whose states are kept in a low-rank projection of the gradient (GaLore).

    A parameter group may override any option but the patterns. The state holds tensors only.

    Args:
        params: Parameters, named parameters, or groups; a group's `param_names` are what the patterns are matched with.
        lr: Learning rate, >= 0; projected matrices move by `lr * scale`.
        betas: Decay of the first and second moment, each in [0, 1).
        eps: Term added to the root of the second moment, >= 0.
        weight_decay: Decoupled weight decay, >= 0.
        rank: Rank of the projection, >= 1; a matrix with a shorter side takes plain AdamW.
        update_proj_gap: Steps between two refreshes of a projection, >= 1.
        scale: Factor of the projected update, > 0.
        proj_type: Which side is projected: `std` the shorter one, `reverse_std` the longer one, else always this one.
        refresh: `exact` is a full SVD; `subspace` starts from the old basis and is many times cheaper.
        target_modules: Names of what is projected; a glob over the whole name, or a part of it.
        exclude_modules: Names of what is not projected although `target_modules` names it.

    Raises:
        ValueError: An option is out of its range.
    """

    label = "galore_adamw"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        rank: int = 128,
        update_proj_gap: int = 200,
        scale: float = 0.25,
        proj_type: Literal["std", "reverse_std", "right", "left"] = "std",
        refresh: Literal["exact", "subspace"] = "exact",
        target_modules: tuple[str, ...] = ("*",),
        exclude_modules: tuple[str, ...] = ("embed", "lm_head", "wte", "wpe", "norm"),
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "rank": rank,
            "update_proj_gap": update_proj_gap,
            "scale": scale,
            "proj_type": proj_type,
            "refresh": refresh,
            "target_modules": list(target_modules),
            "exclude_modules": list(exclude_modules),
        }
        super().__init__(params, defaults)
        self.report_fallback()

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        side = group["sides"][index]
        if side is None:
            plain_step(weights, grad, state, group)
            return
        if not refresh_basis(state, grad, side, group, self.label):
            return
        decay = decay_factor(group)
        if "basis" not in state:  # a gradient of zeros says nothing about directions yet
            weights.mul_(decay)
            return
        direction = adam_step(project(grad, state["basis"], side), state, group)
        alpha = -float(group["lr"]) * decay * group["scale"]
        add_back_(weights, direction, state["basis"], side, alpha=alpha, decay=decay)
