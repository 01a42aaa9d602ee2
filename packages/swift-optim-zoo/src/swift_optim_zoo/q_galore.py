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

from swift_optim_zoo._base import options_in
from swift_optim_zoo._checks import require_choice
from swift_optim_zoo._four_bit import pack, round_to_eight_bits_, unpack
from swift_optim_zoo._galore_eight_bit import EightBitGaLore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from swift_optim_zoo._base import Group, State


class QGaLore(EightBitGaLore):
    """GaLore with a 4-bit projection, 8-bit moments and an adaptive gap (Q-GaLore).

    Its options are those of `GaLoreOptimizer`, and these:

    Args:
        weight_bits: 8 rounds projected weights by chance to an INT8 grid in groups of 256; 0 leaves them.
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
        super().__init__(params, options_in(locals()))

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
