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

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from swift_optim_zoo._base import options_in
from swift_optim_zoo._checks import require_choice
from swift_optim_zoo._galore import GaLoreOptimizer, Move
from swift_optim_zoo._low_rank import channel_norm, correction, decay_factor, limited_

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swift_optim_zoo._base import Group


class Fira(GaLoreOptimizer):
    """GaLore's AdamW with the rest of the gradient added at the same scale (Fira).

    Its options are those of `GaLoreOptimizer`, and these:

    Args:
        lr: Learning rate, >= 0.
        scale: Factor of what comes back from the projection, > 0.
        proj_type: Which side is projected: `std` the shorter one, `reverse_std` the longer one, else always this one.
    """

    label = "fira"

    state_bytes: ClassVar[str] = "8 * size"
    matrix_state_bytes: ClassVar[str] = "8 * moment_size + 4 * basis_size + gap_bytes"

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
        refresh: Literal["subspace", "exact"] = "subspace",
        first_basis: Literal["auto", "exact", "random"] = "auto",
        moments: Literal["align", "rotate", "reset", "keep"] = "align",
        stagger: bool = True,
        adaptive_gap: bool = False,
        cos_threshold: float = 0.4,
        gap_growth: float = 2.0,
        gap_window: int = 5,
        products: Literal["auto", "float32", "bfloat16"] = "auto",
        target_modules: tuple[str, ...] = ("*",),
        exclude_modules: tuple[str, ...] = ("embed", "lm_head", "wte", "wpe", "norm"),
    ) -> None:
        super().__init__(params, options_in(locals()))

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        GaLoreOptimizer.check_options(options)
        require_choice(("std", "reverse_std", "right", "left"), proj_type=options["proj_type"])

    def move(self, move: Move) -> None:
        """Take GaLore's step, and one with the rest of the gradient."""
        low_rank, projection, state, group = move.low_rank, move.projection, move.state, move.group
        scale, decay = group["scale"], decay_factor(group)
        outside = move.grad.clone()
        projection.add_back_(outside, low_rank, alpha=-scale, decay=1.0)
        norm = channel_norm(low_rank, move.side)
        direction = self.direction_(low_rank, state, group)
        corrected = correction(state, group)
        outside.mul_(channel_norm(direction, move.side).div_(corrected) / (norm + 1e-8))
        alpha = -float(group["lr"]) * decay
        projection.add_back_(move.weights, direction, alpha=alpha * scale, decay=decay)
        move.weights.add_(limited_(outside, state), alpha=alpha * corrected)
