"""What the kernels cannot take, refused by name before anything is changed.

Each message says which tensor, why, and what to use instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from swift_native._formats import GRAD_DTYPES, PARAM_DTYPES, ROUNDINGS, STORAGES
from swift_native._shards import is_cut, is_dtensor, shard_of

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor

_ELSEWHERE = "use torch.optim.AdamW (train.optimizer_type: adamw) for it"
_OVERLAPS = "has elements that share memory (an expanded tensor); train a .clone() of it"


def check_options(options: Mapping[str, Any]) -> None:
    """Raise ValueError unless the options of a group are usable: `lr must be >= 0, got -1.0`."""
    for name in ("lr", "eps", "weight_decay", "momentum", "max_grad_norm"):
        if name in options and not 0 <= float(options[name]) < math.inf:
            raise ValueError(f"{name} must be >= 0, got {float(options[name])}")
    if "betas" in options:
        _check_betas(options["betas"])
    check_choice("moments", options.get("moments", "fp32"), STORAGES)
    check_choice("rounding", options.get("rounding", "nearest"), ROUNDINGS)
    seed = options.get("seed", 0)
    if not isinstance(seed, int) or not 0 <= seed < 1 << 53:
        raise ValueError(f"seed must be an integer in [0, 2^53), got {seed!r}")


def _check_betas(betas: object) -> None:
    if not isinstance(betas, Sequence) or len(betas) != 2:
        raise ValueError(f"betas must be two numbers, got {betas!r}")
    for index, beta in enumerate(betas):
        if not 0 <= float(beta) < 1:
            raise ValueError(f"betas[{index}] must be in [0, 1), got {float(beta)}")


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")


def check_foreign_options(options: Mapping[str, Any]) -> None:
    """Raise ValueError for what a loaded state dict asks of its optimizer and this one does not do."""
    if not options.get("decoupled_weight_decay", True) and options["weight_decay"] != 0:
        raise ValueError(
            "the state dict is of Adam with weight decay inside the gradient; AdamW decays the weights themselves: "
            "continue with torch.optim.Adam, or set weight_decay to 0 in the state dict"
        )
    for name in ("differentiable", "capturable"):
        if options.get(name):
            raise ValueError(f"the state dict asks for {name}=True, which the native AdamW does not have; {_ELSEWHERE}")


def label_of(group: Mapping[str, Any], index: int, position: int) -> str:
    """Return what to call a parameter in an error: its name if the group has names."""
    names = group.get("param_names")
    return f"parameter '{names[position]}'" if names else f"parameter {position} of group {index}"


def check_params(group: Mapping[str, Any], index: int, offload: str) -> None:
    """Raise ValueError unless the parameters of a group can be trained."""
    if offload != "none" and group["rounding"] != "nearest":
        raise ValueError(f"offload keeps float32 weights, which need no rounding, got {group['rounding']!r}")
    check = check_param if offload == "none" else check_far_param
    for position, param in enumerate(group["params"]):
        check(param, label_of(group, index, position))


def check_clipping(groups: Sequence[Mapping[str, Any]]) -> None:
    """Raise ValueError unless the gradients of all groups can be clipped by one norm."""
    limits = sorted({float(group.get("max_grad_norm", 0.0)) for group in groups})
    if len(limits) > 1:
        raise ValueError(f"max_grad_norm must be the same in all groups, got {', '.join(map(str, limits))}")
    if limits != [0.0]:
        params = [param for group in groups for param in group["params"]]
        refuse_norm_of_parts(params, f"max_grad_norm of the optimizer must be 0, got {limits[0]}")


def refuse_norm_of_parts(params: Iterable[Tensor], what: str) -> None:
    """Raise ValueError, beginning with `what`, if a parameter is cut up among ranks."""
    if any(is_cut(param) for param in params):
        raise ValueError(
            f"{what}: parameters are cut up among ranks, and this rank sees the norm of its own part only; clip by "
            "train.max_grad_norm"
        )


def check_param(param: Tensor, name: str) -> None:
    """Raise ValueError unless `param` is a real array in host memory of a dtype that the kernels know, or a shard."""
    shard = shard_of(param)
    reason = _why_partial(param) or _why_not(shard)
    if not reason and param.dtype not in PARAM_DTYPES:
        reason = f"is {_dtype(param)}; the kernels take float32 and bfloat16 parameters"
    if not reason and _overlaps(shard):
        reason = _OVERLAPS
    if reason:
        raise ValueError(f"the native AdamW cannot train {name}: it {reason}")


def check_far_param(param: Tensor, name: str) -> None:
    """Raise ValueError unless weights of `param` can be kept in host memory while it lives elsewhere."""
    reason = "is a DTensor, and FSDP moves shards itself: fully_shard(..., offload_policy=CPUOffloadPolicy())"
    if not is_dtensor(param):
        reason = _why_no_array(param)
    if not reason and param.dtype not in GRAD_DTYPES:
        reason = f"is {_dtype(param)}; float32, bfloat16 and float16 parameters can be offloaded"
    if not reason and _overlaps(param):
        reason = _OVERLAPS
    if reason:
        raise ValueError(f"offload cannot train {name}: it {reason}")


def check_whole(param: Tensor, name: str) -> None:
    """Raise ValueError if this rank has only a part of `param`, for rules that look at all of it."""
    kind = "a DTensor cut up by FSDP or tensor parallelism" if is_cut(param) else ""
    if hasattr(param, "ds_id"):
        kind = "partitioned by ZeRO-3"
    if kind:
        raise ValueError(
            f"the native Adafactor cannot train {name}: it is {kind}, and each rank would find the means of rows and "
            "columns, and the size of the weights, of its own part, which are not those of the matrix; replicate the "
            "parameters (DDP), or take native_adamw, native_lion or native_sgd, which move each weight alone"
        )


def check_grad(grad: Tensor, param: Tensor, name: str) -> None:
    """Raise ValueError unless `grad` is a gradient that the kernels can read for `param`."""
    if grad.layout is not torch.strided:
        kind = str(grad.layout).removeprefix("torch.")
        raise ValueError(
            f"the gradient of {name} is {kind}: AdamW moves every element in every step, so a sparse gradient "
            "saves nothing; build the embedding with sparse=False, or use torch.optim.SparseAdam for it"
        )
    reason = _why_partial(grad) or _why_not(shard_of(grad))
    if reason:
        raise ValueError(f"the native AdamW cannot read the gradient of {name}: it {reason}")
    if grad.dtype not in GRAD_DTYPES:
        pair = f"{_dtype(param)} parameter with {_dtype(grad)} gradient"
        raise ValueError(f"no kernel for {name}: {pair}; gradients may be float32, bfloat16 or float16")
    if grad.shape != param.shape:
        raise ValueError(f"the gradient of {name} has shape {tuple(grad.shape)}, the parameter {tuple(param.shape)}")


def check_copy(copy: Tensor, param: Tensor) -> None:
    """Raise ValueError unless `copy` can receive the weights of `param` in bfloat16."""
    if param.dtype is not torch.float32 or not param.is_contiguous():
        raise ValueError(f"only contiguous float32 parameters have copies, got {_dtype(param)}")
    reason = _why_not(copy)
    if not reason and not (copy.dtype is torch.bfloat16 and copy.shape == param.shape and copy.is_contiguous()):
        reason = f"is {_dtype(copy)} of shape {tuple(copy.shape)}; make it contiguous bfloat16 of {tuple(param.shape)}"
    if reason:
        raise ValueError(f"a copy cannot be written: it {reason}")


def check_far_grad(grad: Tensor, param: Tensor, name: str) -> None:
    """Raise ValueError unless `grad` can be copied to the host for `param`."""
    reason = _why_no_array(grad)
    if not reason and grad.device != param.device:
        reason = f"is on {grad.device}, the parameter on {param.device}"
    if not reason and (grad.dtype not in GRAD_DTYPES or grad.shape != param.shape):
        reason = (
            f"is {_dtype(grad)} of shape {tuple(grad.shape)}, the parameter {_dtype(param)} of {tuple(param.shape)}"
        )
    if reason:
        raise ValueError(f"offload cannot read the gradient of {name}: it {reason}")


def is_plain_on_cpu(tensor: Tensor) -> bool:
    """Return whether `tensor` is a plain array of real numbers in host memory."""
    return not _why_not(tensor)


def _why_not(tensor: Tensor) -> str:
    """Return why `tensor` is not a plain, real tensor in host memory, or an empty string."""
    reason = _why_no_array(tensor)
    if not reason and not tensor.is_cpu:
        reason = (
            f"is on {tensor.device}, and these kernels run on the CPU; keep states and float32 weights in host memory "
            'with offload="cpu", or use torch.optim.AdamW(..., fused=True) there'
        )
    return reason


def _why_partial(tensor: Tensor) -> str:
    """Return why the part of a DTensor that this rank holds is none of its values, or an empty string."""
    placements = cast("DTensor", tensor).placements if is_dtensor(tensor) else ()
    if any(placement.is_partial() for placement in placements):
        return "is a DTensor with sums that are still to be made (Partial); redistribute it first"
    return ""


def _why_no_array(tensor: Tensor) -> str:
    """Return why `tensor` is not a plain, real array on some device, or an empty string."""
    if not _is_plain(tensor):
        return f"is a {type(tensor).__name__}, whose memory is not a plain array; {_ELSEWHERE}"
    if tensor.is_meta:
        return "is on the meta device and has no values; load or initialise the model first"
    if tensor.layout is not torch.strided:
        return f"has layout {tensor.layout}; {_ELSEWHERE}"
    if tensor.is_complex():
        return f"is {_dtype(tensor)}; train torch.view_as_real() of it, or {_ELSEWHERE}"
    if tensor.is_inference():
        return "was made under torch.inference_mode(); make it outside, or train a .clone() of it"
    return ""


def _is_plain(tensor: Tensor) -> bool:
    """Return whether torch itself, and no subclass, handles the operations on `tensor`."""
    return type(tensor).__torch_dispatch__ is Tensor.__torch_dispatch__


def _overlaps(tensor: Tensor) -> bool:
    return any(stride == 0 and size > 1 for size, stride in zip(tensor.shape, tensor.stride(), strict=True))


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
