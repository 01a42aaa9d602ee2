"""APOLLO-Mini: APOLLO with one scale for a whole matrix, learnt in a projection of rank 1; hardly any state.

    every update_proj_gap steps:  P = Gaussian vector, drawn anew
    R  = G P                                   (or P^T G, whichever is smaller)
    N  = Adam's direction for R                (arXiv:1412.6980; eps before the correction c_t, which is left out of N)
    S  = G * |N| / |R|                         (norms of the whole vector)
    S <- S / max(|S| / |S of the step before| / 1.01, 1)
    p <- (p - lr * c_t * sqrt(scale) * S) * (1 - lr * weight_decay)

Zhu et al., 2024, arXiv:2412.05270, sec. 4.2. Parameters that are not projected (embeddings, output head, norms, biases)
take AdamW.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from swift_optim_zoo._base import options_in
from swift_optim_zoo.apollo import ApolloBase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from swift_optim_zoo._projector import Side


class ApolloMini(ApolloBase):
    """AdamW's scaling of a whole matrix learnt in a random projection of rank 1 (APOLLO-Mini).

    Its options are those of `LowRankOptimizer`, and these:

    Args:
        rank: Rank of the projection, >= 1.
        update_proj_gap: Steps between two draws of a projection, >= 1.
        scale: The update is multiplied by the root of this, > 0; a small rank needs a large one.
    """

    label = "apollo_mini"

    state_bytes: ClassVar[str] = "8 * size"
    matrix_state_bytes: ClassVar[str] = "4 * rank * (2 * longer + shorter)"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        rank: int = 1,
        update_proj_gap: int = 200,
        scale: float = 128.0,
        products: Literal["auto", "float32", "bfloat16"] = "auto",
        target_modules: tuple[str, ...] = ("*",),
        exclude_modules: tuple[str, ...] = ("embed", "lm_head", "wte", "wpe", "norm"),
    ) -> None:
        super().__init__(params, options_in(locals()) | {"proj_type": "std"})

    def norm(self, low_rank: Tensor, side: Side) -> Tensor:
        """Return the norm of the matrix."""
        norm: Tensor = low_rank.norm()
        return norm
