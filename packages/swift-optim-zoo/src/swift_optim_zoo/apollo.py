"""APOLLO: the gradient itself, each channel scaled as Adam scales its random projection; no SVD.

    every update_proj_gap steps:  P = Gaussian matrix / sqrt(rank), drawn anew
    R  = G P                                   (or P^T G, whichever is smaller)
    N  = Adam's direction for R                (arXiv:1412.6980; eps before the correction c_t, which is left out of N)
    S  = G * |N_i| / |R_i|                     (norms of each row; of each column on the left side)
    S <- S / max(|S| / |S of the step before| / 1.01, 1)
    p <- (p - lr * c_t * sqrt(scale) * S) * (1 - lr * weight_decay)

Zhu et al., 2024, arXiv:2412.05270, alg. 1. Parameters that are not projected (embeddings, output head, norms, biases)
take AdamW.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from swift_optim_zoo._base import options_in
from swift_optim_zoo._checks import require_choice
from swift_optim_zoo._low_rank import (
    LowRankOptimizer,
    adam_step_,
    channel_norm,
    correction,
    decay_factor,
    limited_,
    plain_step,
)
from swift_optim_zoo._products import in_bfloat16
from swift_optim_zoo._projector import Projection, Side

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swift_optim_zoo._base import Group, State


class ApolloBase(LowRankOptimizer):
    """What APOLLO and APOLLO-Mini share; a subclass says what one scale is for."""

    def norm(self, low_rank: Tensor, side: Side) -> Tensor:
        """Return the norms that Adam's direction and the projected gradient are compared by."""
        raise NotImplementedError

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        LowRankOptimizer.check_options(options)
        require_choice(("auto", "float32", "bfloat16"), products=options["products"])

    def prepare(self, group: Group) -> None:
        """Choose what is projected, and number the parameters: each draws random numbers of its own."""
        super().prepare(group)
        num_before = sum(len(other["params"]) for other in self.param_groups[:-1])
        group["seeds"] = [num_before + number for number in range(1, len(group["params"]) + 1)]

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        side = group["sides"][index]
        if side is None:
            plain_step(weights, grad, state, group)
            return
        if "basis" not in state or int(state.get("step", 0)) % group["update_proj_gap"] == 0:
            _draw_basis(state, grad, side, group, index)
        narrow = in_bfloat16(grad, group["products"])
        projection = (
            Projection(None, state["basis"], narrow) if side == "right" else Projection(state["basis"], None, narrow)
        )
        low_rank = projection.project(grad)
        norm = self.norm(low_rank, side)
        direction = adam_step_(low_rank, state, group)
        corrected = correction(state, group)
        scaled = limited_(grad * (self.norm(direction, side).div_(corrected) / (norm + 1e-8)), state)
        decay = decay_factor(group)
        step_size = float(group["lr"]) * corrected * math.sqrt(group["scale"])
        weights.mul_(decay).add_(scaled, alpha=-decay * step_size)


class Apollo(ApolloBase):
    """AdamW's scaling of each channel learnt in a random projection (APOLLO).

    Its options are those of `LowRankOptimizer`, and these:

    Args:
        update_proj_gap: Steps between two draws of a projection, >= 1.
        scale: The update is multiplied by the root of this, > 0.
    """

    label = "apollo"

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
        rank: int = 256,
        update_proj_gap: int = 200,
        scale: float = 1.0,
        products: Literal["auto", "float32", "bfloat16"] = "auto",
        target_modules: tuple[str, ...] = ("*",),
        exclude_modules: tuple[str, ...] = ("embed", "lm_head", "wte", "wpe", "norm"),
    ) -> None:
        super().__init__(params, options_in(locals()) | {"proj_type": "std"})

    def norm(self, low_rank: Tensor, side: Side) -> Tensor:
        """Return the norm of each channel."""
        return channel_norm(low_rank, side)


def _draw_basis(state: State, grad: Tensor, side: Side, group: Group, index: int) -> None:
    """Draw the projection [side length, rank] from the parameter's seed, and the seed of the next one.

    Numbers are drawn on the CPU in the layout of the authors' code, so that a run repeats on any device.
    """
    seed = int(state.get("seed", group["seeds"][index]))
    rows, columns = grad.shape
    shape = (group["rank"], columns) if side == "right" else (rows, group["rank"])
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(grad) / math.sqrt(group["rank"])
    state["basis"] = drawn.T if side == "right" else drawn
    state["seed"] = _next_seed(seed)


def _next_seed(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, torch.iinfo(torch.int64).max, (15,), generator=generator)[-1].clone()
