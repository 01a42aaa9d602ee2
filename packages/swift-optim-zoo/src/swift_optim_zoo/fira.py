"""Fira: GaLore that also uses the part of the gradient outside the projection, scaled like the part inside.

    every update_proj_gap steps:  Q = leading singular vectors of G
    R  = G Q                                   (or Q^T G, whichever is smaller)
    N  = Adam's direction for R                (arXiv:1412.6980; eps before the correction c_t, which is left out of N)
    S  = (G - scale * R Q^T) * |N_i| / |R_i|   (norms of each row; of each column on the left side)
    S <- S / max(|S| / |S of the step before| / 1.01, 1)
    p <- (p - lr * c_t * (scale * N Q^T + S)) * (1 - lr * weight_decay)

Chen et al., 2024, arXiv:2410.01623, alg. 1; scale stands where the authors' code has its alpha. Parameters that are not
projected (embeddings, output head, norms, biases) take AdamW.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from swift_optim_zoo._low_rank import (
    LowRankOptimizer,
    adam_step,
    channel_ratio,
    correction,
    decay_factor,
    limited_,
    plain_step,
    refresh_basis,
)
from swift_optim_zoo._projector import Side, add_back_, project

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from swift_optim_zoo._base import Group, State


class Fira(LowRankOptimizer):
    """GaLore's AdamW with the rest of the gradient added at the same scale (Fira).

    Args:
        params: Parameters, named parameters, or groups; a group's `param_names` are what the patterns are matched with.
        lr: Learning rate, >= 0.
        betas: Decay of the first and second moment, each in [0, 1).
        eps: Term added to the root of the second moment, >= 0.
        weight_decay: Decoupled weight decay, >= 0.
        rank: Rank of the projection, >= 1; a matrix with a shorter side takes plain AdamW.
        update_proj_gap: Steps between two refreshes of a projection, >= 1.
        scale: Factor of what comes back from the projection, > 0.
        proj_type: Which side is projected: `std` the shorter one, `reverse_std` the longer one, else always this one.
        refresh: `exact` is a full SVD; `subspace` starts from the old basis and is many times cheaper.
        target_modules: Names of what is projected; a glob over the whole name, or a part of it.
        exclude_modules: Names of what is not projected although `target_modules` names it.

    Raises:
        ValueError: An option is out of its range.
    """

    label = "fira"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        rank: int = 128,
        update_proj_gap: int = 200,
        scale: float = 1.0,
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
        if "basis" not in state:  # a gradient of zeros says nothing about directions yet
            weights.mul_(decay_factor(group))
            return
        self._projected_step(weights, grad, state, group, side)

    def _projected_step(self, weights: Tensor, grad: Tensor, state: State, group: Group, side: Side) -> None:
        basis, scale = state["basis"], group["scale"]
        low_rank = project(grad, basis, side)
        direction = adam_step(low_rank, state, group)
        corrected = correction(state, group)
        outside = grad.clone()
        add_back_(outside, low_rank, basis, side, alpha=-scale, decay=1.0)
        outside.mul_(channel_ratio(direction, low_rank, side).div_(corrected))
        decay = decay_factor(group)
        alpha = -float(group["lr"]) * decay
        add_back_(weights, direction, basis, side, alpha=alpha * scale, decay=decay)
        weights.add_(limited_(outside, state), alpha=alpha * corrected)
