"""AdamW with one pass over memory: every parameter of every group in one threaded C++ call.

    m <- beta1 * m + (1 - beta1) * g
    v <- beta2 * v + (1 - beta2) * g^2
    p <- p * (1 - lr * weight_decay) - lr * m_hat / (sqrt(v_hat) + eps)

with m_hat = m / (1 - beta1^t) and v_hat = v / (1 - beta2^t). Loshchilov and Hutter, 2019, arXiv:1711.05101, alg. 2.

All arithmetic is float32; weights and moments may be kept in fewer bits. Random bits depend on the seed, the step and
the place of an element among all parameters, so that a resumed run is equal bit for bit. Results do not depend on the
number of threads, on the instruction set or, but for 8-bit moments and the last bit of a clipping norm, on how
parameters are split into tensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from swift_native._formats import Moments, Offloading, Rounding
from swift_native._optimizer import NativeOptimizer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch.optim.optimizer import ParamsT


class AdamW(NativeOptimizer):
    """Adam with decoupled weight decay, for parameters in host memory.

    State dicts with fp32 moments are those of `torch.optim.AdamW` and can be exchanged with it. A parameter without a
    gradient is skipped. The work is shared by `torch.get_num_threads()` threads, and other Python threads run
    meanwhile.

    Args:
        params: Parameters, named parameters, or groups of them with options of their own.
        lr: Learning rate, >= 0.
        betas: Decay rates of the averages of the gradient and of its square, each in [0, 1).
        eps: Added to the denominator, >= 0.
        weight_decay: Share of a weight, times lr, that each step removes, >= 0.
        amsgrad: Divide by the largest average of the square so far (Reddi et al., 2018, arXiv:1904.09237).
        maximize: Climb instead of descend.
        moments: Format of the averages: fp32, bf16 (rounded stochastically), or 8bit (in blocks of 128).
        rounding: How a bfloat16 weight is rounded: nearest, stochastic, or kahan, which keeps the rest beside it.
        max_grad_norm: Global norm of all gradients above which they are scaled down, in the same pass; 0 for no
            clipping.
        seed: Seed of the random bits of stochastic rounding, in [0, 2^53).
        offload: cpu for parameters on a GPU or another device: the states and float32 weights are kept in host memory,
            and the step runs there while gradients and weights travel.

    Raises:
        ValueError: An option is out of range, or a parameter is one that the kernels cannot take.
    """

    root_scale_bytes: ClassVar[str] = "ceil(size / 128) * (2 if amsgrad else 1) if moments == '8bit' else 0"
    state_bytes: ClassVar[str] = "moment_bytes * (3 if amsgrad else 2) + root_scale_bytes + kahan_bytes + master_bytes"

    _rule = 0

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        maximize: bool = False,
        moments: Moments = "fp32",
        rounding: Rounding = "nearest",
        max_grad_norm: float = 0.0,
        seed: int = 0,
        offload: Offloading = "none",
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        formats = {"moments": moments, "rounding": rounding, "max_grad_norm": max_grad_norm, "seed": seed}
        super().__init__(params, {**options, "maximize": maximize, **formats}, offload)

    def state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the keys of the moments."""
        return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")
