"""GaLore whose moments have 8 bits each: what is kept of a projected gradient, and what becomes of it at a refresh."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from swift_optim_zoo._eight_bit import AdamOptions, adam8bit_direction_, adam8bit_step, clear_codes, turn_codes
from swift_optim_zoo._galore import GaLoreOptimizer
from swift_optim_zoo._low_rank import check_shape

if TYPE_CHECKING:
    from torch import Tensor

    from swift_optim_zoo._base import Group, State
    from swift_optim_zoo._turn import Turn


class EightBitGaLore(GaLoreOptimizer):
    """Adam with 8-bit moments on projected gradients; what is not projected has 8-bit moments too."""

    def direction_(self, low_rank: Tensor, state: State, group: Group) -> Tensor:
        """Update both moments, and make of the projected gradient Adam's direction."""
        return adam8bit_direction_(low_rank, state, group["betas"], group["eps"])

    def plain(self, weights: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """Move a parameter that is not projected, by AdamW with 8-bit moments."""
        options = AdamOptions(float(group["lr"]), group["betas"], group["eps"], group["weight_decay"])
        adam8bit_step(weights, grad, state, options)

    def turn(self, state: State, turn: Turn) -> None:
        """Express both moments in new bases."""
        turn_codes(state, turn)

    def forget(self, state: State) -> None:
        """Set both moments to zero."""
        clear_codes(state)

    def check_saved(self, state: State, shape: tuple[int, ...]) -> None:
        """Raise ValueError when the moments in a saved `state` are not of `shape`."""
        super().check_saved(state, shape)
        if "exp_avg_codes" in state:
            check_shape(tuple(state["exp_avg_codes"].shape), (math.prod(shape),))
