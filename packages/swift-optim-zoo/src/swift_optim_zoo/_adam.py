"""Adam's step in the two forms that other optimizers are built from. Kingma and Ba, 2015, arXiv:1412.6980, alg. 1."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def adamw_(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    *,
    step: int,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> None:
    """Apply one AdamW step in place as torch has it: eps is added to the corrected root; `step` counts from 1."""
    beta1, beta2 = betas
    exp_avg.lerp_(grad, 1 - beta1)
    exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    denominator = exp_avg_sq.sqrt().div_(math.sqrt(1 - beta2**step)).add_(eps)
    param.mul_(1 - lr * weight_decay).addcdiv_(exp_avg, denominator, value=-lr / (1 - beta1**step))


def adam_direction_(
    grad: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, *, step: int, betas: tuple[float, float], eps: float
) -> Tensor:
    """Update both moments in place with `grad` and return Adam's bias-corrected direction; `step` counts from 1.

    eps is added to the root before the correction, as the authors of GaLore do it.
    """
    beta1, beta2 = betas
    exp_avg.lerp_(grad, 1 - beta1)
    exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    return exp_avg_sq.sqrt().add_(eps).reciprocal_().mul_(exp_avg).mul_(adam_correction(step, betas))


def adam_correction(step: int, betas: tuple[float, float]) -> float:
    """Return the bias correction of both moments at `step`, from 1, as one factor of the step."""
    beta1, beta2 = betas
    return float(math.sqrt(1 - beta2**step) / (1 - beta1**step))
