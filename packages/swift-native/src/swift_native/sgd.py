"""Stochastic gradient descent in native code, with momentum or without.

    g <- g + weight_decay * p
    b <- momentum * b + (1 - dampening) * g        in the first step b = g
    p <- p - lr * b                                or lr * (g + momentum * b) with Nesterov's momentum

The rule, the options and, with fp32 momentum, the state are those of `torch.optim.SGD`. Formats, random bits and
threads are as in `swift_native.adamw`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from swift_native._formats import Moments, Offloading, Rounding
from swift_native._optimizer import NativeOptimizer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.optim.optimizer import ParamsT


class SGD(NativeOptimizer):
    """Gradient descent for parameters in host memory.

    Args:
        params: Parameters, named parameters, or groups of them with options of their own.
        lr: Learning rate, >= 0.
        momentum: Decay rate of the running sum of gradients, >= 0; 0 keeps no state.
        dampening: Share of a gradient that does not enter the sum.
        weight_decay: Share of a weight that is added to its gradient, >= 0.
        nesterov: Look ahead along the momentum; needs momentum and no dampening.
        maximize: Climb instead of descend.
        moments: Format of the momentum: fp32, bf16 (rounded stochastically), or 8bit (in blocks of 128).
        rounding: How a bfloat16 weight is rounded: nearest, stochastic, or kahan, which keeps the rest beside it.
        max_grad_norm: Global norm of all gradients above which they are scaled down, in the same pass; 0 for no
            clipping.
        seed: Seed of the random bits of stochastic rounding, in [0, 2^53).
        offload: cpu for parameters on a GPU or another device: the states and float32 weights are kept in host memory,
            and the step runs there while gradients and weights travel.

    Raises:
        ValueError: An option is out of range, or a parameter is one that the kernels cannot take.
    """

    state_bytes: ClassVar[str] = "(moment_bytes if momentum else 0) + kahan_bytes + master_bytes"

    _rule = 2

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        maximize: bool = False,
        moments: Moments = "fp32",
        rounding: Rounding = "nearest",
        max_grad_norm: float = 0.0,
        seed: int = 0,
        offload: Offloading = "none",
    ) -> None:
        if not math.isfinite(dampening):
            raise ValueError(f"dampening must be a number, got {dampening}")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(f"nesterov needs momentum > 0 and dampening 0, got {momentum} and {dampening}")
        options = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        formats = {"moments": moments, "rounding": rounding, "max_grad_norm": max_grad_norm, "seed": seed}
        super().__init__(params, {**options, "nesterov": nesterov, "maximize": maximize, **formats}, offload)

    def state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the key of the momentum, if there is one."""
        return ("momentum_buffer",) if group["momentum"] else ()
