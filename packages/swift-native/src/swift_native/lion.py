"""Lion in native code: the sign of an interpolated momentum; one state per weight.

    u <- sign(beta1 * m + (1 - beta1) * g)
    m <- beta2 * m + (1 - beta2) * g
    p <- p * (1 - lr * weight_decay) - lr * u

Chen et al., 2023, arXiv:2302.06675, alg. 2. Use an lr 3 to 10 times below AdamW's. Formats, random bits and threads are
as in `swift_native.adamw`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from swift_native._formats import Moments, Offloading, Rounding
from swift_native._optimizer import NativeOptimizer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.optim.optimizer import ParamsT


class Lion(NativeOptimizer):
    """Move every weight by lr in the direction of a momentum's sign, for parameters in host memory.

    Args:
        params: Parameters, named parameters, or groups of them with options of their own.
        lr: Learning rate, >= 0; every weight moves by exactly this much.
        betas: Weight of the momentum in the update, and its decay, each in [0, 1).
        weight_decay: Share of a weight, times lr, that each step removes, >= 0; use 3 to 10 times AdamW's.
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

    state_bytes: ClassVar[str] = "moment_bytes + kahan_bytes + master_bytes"

    _rule = 1

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        maximize: bool = False,
        moments: Moments = "fp32",
        rounding: Rounding = "nearest",
        max_grad_norm: float = 0.0,
        seed: int = 0,
        offload: Offloading = "none",
    ) -> None:
        options = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize}
        formats = {"moments": moments, "rounding": rounding, "max_grad_norm": max_grad_norm, "seed": seed}
        super().__init__(params, {**options, **formats}, offload)

    def state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the key of the momentum."""
        return ("exp_avg",)
