"""Q-GaLore: GaLore with a projection of 4 bits, moments of 8, and fewer refreshes where directions stay.

    every gap steps:  Q = INT4(leading singular vectors of G),  in groups of 256 between their smallest and largest
    R  = G Q                                   (or Q^T G, whichever is smaller; proj_type full: P^T G Q)
    M, V, N as in AdamW on R, M and V kept in one byte each
    p <- (p - lr * scale * N Q^T) * (1 - lr * weight_decay)                (weight_bits 8: rounded to INT8 by chance)
    gap <- gap_growth * gap  where the leading direction of G has stayed: mean cosine over gap_window >= cos_threshold

Zhang et al., 2024, arXiv:2407.08296, sec. 3. Weights stay tensors of the model's type: `weight_bits: 8` takes their
values from the grid of the paper, by stochastic rounding, and saves no memory by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch

from swift_optim_zoo._checks import require_choice
from swift_optim_zoo._four_bit import pack, round_to_eight_bits_, unpack
from swift_optim_zoo._galore_eight_bit import EightBitGaLore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from swift_optim_zoo._base import Group, State


class QGaLore(EightBitGaLore):
    """GaLore with a 4-bit projection, 8-bit moments and an adaptive gap (Q-GaLore).

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
        weight_bits: 8 rounds projected weights by chance to an INT8 grid in groups of 256; 0 leaves them.
        target_modules: Names of what is projected; a glob over the whole name, or a part of it.
        exclude_modules: Names of what is not projected although `target_modules` names it.

    Raises:
        ValueError: An option is out of its range, or a parameter is sharded.
    """

    label = "q_galore"

    matrix_state_bytes: ClassVar[str] = "gap_bytes + ceil(basis_size / 2) + 8 * ceil(basis_size / 256) + moment_bytes"

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
        adaptive_gap: bool = True,
        cos_threshold: float = 0.4,
        gap_growth: float = 2.0,
        gap_window: int = 5,
        products: Literal["auto", "float32", "bfloat16"] = "auto",
        weight_bits: Literal[0, 8] = 0,
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
            "weight_bits": weight_bits,
            "target_modules": list(target_modules),
            "exclude_modules": list(exclude_modules),
        }
        super().__init__(params, defaults)
        self.report_fallback()

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        EightBitGaLore.check_options(options)
        require_choice((0, 8), weight_bits=options["weight_bits"])

    def basis(self, state: State, name: str) -> Tensor | None:
        """Return a basis from its 4-bit numbers."""
        if f"{name}_codes" not in state:
            return None
        return unpack(state[f"{name}_codes"], state[f"{name}_range"], state[f"{name}_shape"].tolist())

    def keep_basis(self, state: State, name: str, basis: Tensor) -> None:
        """Keep a basis in 4 bits a number."""
        state[f"{name}_codes"], state[f"{name}_range"] = pack(basis)
        state[f"{name}_shape"] = torch.tensor(basis.shape)

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter; with `weight_bits` 8 a projected one is then rounded to a grid of 256 values."""
        super().update(weights, grad, state, group, index)
        if group["weight_bits"] == 8 and group["sides"][index] and float(group["lr"]):
            round_to_eight_bits_(weights, seed=int(state.get("step", 0)) * 1_000_003 + index)
