"""Adam's step in the two forms that other optimizers are built from. Kingma and Ba, 2015, arXiv:1412.6980, alg. 1.

Where torch has its fused kernel (contiguous tensors on a CPU or with CUDA) both forms go through it.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

_FUSED_DEVICES = ("cpu", "cuda")
_FUSED_TYPES = (torch.float32, torch.float64)


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
    if _is_fusable(param, grad, exp_avg, exp_avg_sq):
        _fused_(param, grad, exp_avg, exp_avg_sq, step=step, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        return
    exp_avg.lerp_(grad, 1 - beta1)
    exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    denominator = exp_avg_sq.sqrt().div_(math.sqrt(1 - beta2**step)).add_(eps)
    param.mul_(1 - lr * weight_decay).addcdiv_(exp_avg, denominator, value=-lr / (1 - beta1**step))


def adam_direction_(
    grad: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, *, step: int, betas: tuple[float, float], eps: float
) -> Tensor:
    """Update both moments in place with `grad`, and make of it Adam's bias-corrected direction; `step` counts from 1.

    eps is added to the root before the correction, as the authors of GaLore do it.
    """
    beta1, beta2 = betas
    if _is_fusable(grad, exp_avg, exp_avg_sq):
        eps /= math.sqrt(1 - beta2**step)
        # Size and decay of -1 leave nothing of the weight: what is written over the gradient is the direction alone.
        _fused_(grad, grad, exp_avg, exp_avg_sq, step=step, lr=-1.0, betas=betas, eps=eps, weight_decay=-1.0)
        return grad
    exp_avg.lerp_(grad, 1 - beta1)
    exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    torch.sqrt(exp_avg_sq, out=grad)
    return grad.add_(eps).reciprocal_().mul_(exp_avg).mul_(adam_correction(step, betas))


def adam_correction(step: int, betas: tuple[float, float]) -> float:
    """Return the bias correction of both moments at `step`, from 1, as one factor of the step."""
    beta1, beta2 = betas
    return float(math.sqrt(1 - beta2**step) / (1 - beta1**step))


def _is_fusable(*tensors: Tensor) -> bool:
    """Say whether torch's fused kernel takes these tensors; on a CPU it reads strides of a gradient wrongly."""
    first = tensors[0]
    return (
        first.device.type in _FUSED_DEVICES
        and first.dtype in _FUSED_TYPES
        and all(tensor.is_contiguous() and tensor.dtype is first.dtype for tensor in tensors)
    )


def _fused_(
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
    """Call torch's kernel itself: `torch.optim.adamw.adamw` takes longer over a small matrix than the kernel does."""
    torch._fused_adamw_(
        [param],
        [grad],
        [exp_avg],
        [exp_avg_sq],
        [],
        [_count(step, param.device)],
        amsgrad=False,
        lr=lr,
        beta1=betas[0],
        beta2=betas[1],
        weight_decay=weight_decay,
        eps=eps,
        maximize=False,
    )
    increment_version((param, exp_avg, exp_avg_sq))  # the kernel on a CPU leaves it


@lru_cache(maxsize=16)
def _count(step: int, device: torch.device) -> Tensor:
    """Return `step` as the kernel reads it."""
    return torch.tensor(float(step), device=device)
