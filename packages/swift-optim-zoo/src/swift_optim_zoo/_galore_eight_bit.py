"""GaLore whose moments have 8 bits each: what is kept of a projected gradient, and what becomes of it at a refresh.

The kernels of swift-native take the steps of moments that nothing else reads (`moments` align or keep), where they are
installed and the parameters are float32 or bfloat16 on a CPU; elsewhere it is plain torch. A state that was begun in
the codes of the one goes on in them.
"""

from __future__ import annotations

import logging
import math
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from swift_optim_zoo._eight_bit import (
    SMALLEST,
    AdamOptions,
    adam8bit_direction_,
    adam8bit_step,
    clear_codes,
    turn_codes,
)
from swift_optim_zoo._galore import GaLoreOptimizer
from swift_optim_zoo._lone_native import LoneSteps
from swift_optim_zoo._low_rank import check_shape
from swift_optim_zoo._steppers import check_native_codes, native_is_installed

if TYPE_CHECKING:
    from torch import Tensor

    from swift_optim_zoo._base import Group, State
    from swift_optim_zoo._turn import Turn


_logger = logging.getLogger(__name__)


class EightBitGaLore(GaLoreOptimizer):
    """Adam with 8-bit moments on projected gradients; what is not projected has 8-bit moments too."""

    takes_package_on_cpu: ClassVar[str] = "swift_native"
    state_bytes: ClassVar[str] = "8 * size if size < 4096 else 2 * size + 3 * ceil(size / 128)"
    moment_scale_bytes: ClassVar[str] = (
        "8 * ceil(moment_size / 256) if moments == 'rotate' else 8 * ceil(moment_size / 256) if moments == 'reset' else"
        " 3 * ceil(moment_size / 128)"
    )
    moment_bytes: ClassVar[str] = "8 * moment_size if moment_size < 4096 else 2 * moment_size + moment_scale_bytes"

    @cached_property
    def _lone_steps(self) -> LoneSteps | None:
        return LoneSteps() if native_is_installed() else None

    def report_form(self) -> None:
        """Say in the log who takes the steps."""
        super().report_form()
        _logger.info("%s: %s takes the steps", self.label, "swift-native" if self._lone_steps else "plain torch")

    def direction_(self, low_rank: Tensor, state: State, group: Group) -> Tensor:
        """Update both moments, and make of the projected gradient Adam's direction."""
        options = _options(group)
        if self._lone_steps and _fits_native(low_rank, state) and group["moments"] in ("align", "keep"):
            return self._lone_steps.direction(low_rank, state, options)
        return adam8bit_direction_(low_rank, state, options.betas, options.eps)

    def plain(self, weights: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """Move a parameter that is not projected, by AdamW with 8-bit moments."""
        step = self._lone_steps.step if self._lone_steps and _fits_native(weights, state) else adam8bit_step
        step(weights, grad, state, _options(group))

    def turn(self, state: State, turn: Turn) -> None:
        """Express both moments in new bases."""
        turn_codes(state, turn)

    def forget(self, state: State) -> None:
        """Set both moments to zero."""
        clear_codes(state)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a saved state.

        Raises:
            ValueError: It does not fit, or its moments have codes of swift-native, which is not there.
        """
        super().load_state_dict(state_dict)
        check_native_codes((param for group in self.param_groups for param in group["params"]), self.state)

    def check_saved(self, state: State, shape: tuple[int, ...]) -> None:
        """Raise ValueError when the moments in a saved `state` are not of `shape`."""
        super().check_saved(state, shape)
        if "exp_avg_codes" in state:
            check_shape(tuple(state["exp_avg_codes"].shape), (math.prod(shape),))


def _options(group: Group) -> AdamOptions:
    return AdamOptions(float(group["lr"]), group["betas"], group["eps"], group["weight_decay"])


def _fits_native(tensor: Tensor, state: State) -> bool:
    """Say whether swift-native takes a step of `tensor`, whose moments are not in codes of plain torch."""
    is_known = tensor.device.type == "cpu" and tensor.dtype is torch.float32
    return is_known and tensor.numel() >= SMALLEST and "exp_avg_codes" not in state
