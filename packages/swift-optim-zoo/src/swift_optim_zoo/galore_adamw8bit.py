"""GaLore with AdamW whose low-rank moments have 8 bits.

    every update_proj_gap steps:  Q = leading singular vectors of G
    R  = G Q                                   (or Q^T G, whichever is smaller; proj_type full: P^T G Q)
    M, V, N as in AdamW on R, M and V kept in one byte each, in blocks of 256 with a scale of their own
    p <- (p - lr * scale * N Q^T) * (1 - lr * weight_decay)

Zhao et al., 2024, arXiv:2403.03507, alg. 2 and sec. 5.1 ("8-bit GaLore"). Parameters that are not projected
(embeddings, output head, norms, biases) take AdamW with 8-bit moments; tensors below 4096 elements keep float32 ones.
On a CPU the kernels of swift-native take the steps where it is installed, in blocks of 128; see `_galore_eight_bit`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from swift_optim_zoo._galore_eight_bit import EightBitGaLore

if TYPE_CHECKING:
    from collections.abc import Iterable


class GaLoreAdamW8bit(EightBitGaLore):
    """GaLore's AdamW with moments of 8 bits.

    A parameter group may override any option. The state holds tensors only.

    Args:
        params: Parameters, named parameters, or groups; a group's `param_names` are what the patterns are matched with.
        lr: Learning rate, >= 0; projected matrices move by `lr * scale`.
        betas: Decay of the first and second moment, each in [0, 1).
        eps: Term added to the root of the second moment, >= 0.
        weight_decay: Decoupled weight decay, >= 0.
        rank: Rank of the projection, >= 1; a matrix with a shorter side takes plain AdamW.
        update_proj_gap: Steps between two refreshes of a projection, >= 1.
        scale: Factor of the projected update, > 0.
        proj_type: Which side is projected: `std` the shorter one, `reverse_std` the longer one, `full` both, else this.
        refresh: `subspace` starts from the old basis and is many times cheaper than `exact`, a full SVD.
        first_basis: `exact`, or `random` and found within 20 steps: then the first step costs like any other; `auto` is
            `random` for large matrices where refreshes are staggered, else `exact`.
        moments: At a refresh: `align` the new basis with the old one, `rotate` the moments, `reset`, or `keep` them.
        stagger: Spread the refreshes of all matrices over the gap, so that no step stalls.
        adaptive_gap: Lengthen the gap of a matrix whose leading direction stays (Q-GaLore).
        cos_threshold: Mean cosine of leading directions from which the gap grows, in [0, 1).
        gap_growth: Factor of a growing gap, > 1.
        gap_window: Number of cosines in the mean, >= 1.
        products: Type of products of large matrices; `auto` is bfloat16 on a CPU with AMX, else float32.
        target_modules: Names of what is projected; a glob over the whole name, or a part of it.
        exclude_modules: Names of what is not projected although `target_modules` names it.

    Raises:
        ValueError: An option is out of its range, or a parameter is sharded.
    """

    label = "galore_adamw8bit"

    matrix_state_bytes: ClassVar[str] = "4 * basis_size + gap_bytes + moment_bytes"

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
        proj_type: Literal["std", "reverse_std", "right", "left", "full"] = "std",
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
            "first_basis": first_basis,
            "moments": moments,
            "stagger": stagger,
            "adaptive_gap": adaptive_gap,
            "cos_threshold": cos_threshold,
            "gap_growth": gap_growth,
            "gap_window": gap_window,
            "products": products,
            "target_modules": list(target_modules),
            "exclude_modules": list(exclude_modules),
        }
        super().__init__(params, defaults)
        self.report_fallback()
