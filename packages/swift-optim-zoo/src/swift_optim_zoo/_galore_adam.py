"""The options of GaLore with AdamW, whatever keeps its moments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from swift_optim_zoo._base import options_in
from swift_optim_zoo._galore import GaLoreOptimizer

if TYPE_CHECKING:
    from collections.abc import Iterable


class GaLoreAdam(GaLoreOptimizer):
    """GaLore's options with those of AdamW."""

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
        super().__init__(params, options_in(locals()))
