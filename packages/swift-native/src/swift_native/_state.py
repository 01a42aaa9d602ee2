"""What AdamW remembers of a parameter: `step`, `exp_avg`, `exp_avg_sq` and, with amsgrad, `max_exp_avg_sq`.

The names and meanings are those of `torch.optim.AdamW`, so that state dicts can be exchanged. The moments are float32
whatever the dtype of the parameter; `step` is a float32 scalar that the C++ side counts up.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from swift_native._refuse import is_ordinary


def moment_names(amsgrad: bool) -> tuple[str, ...]:
    """Return the keys of the moments, in the order in which the kernel takes them."""
    return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if amsgrad else ("exp_avg", "exp_avg_sq")


def make_ready(state: dict[str, Any], param: Tensor, names: tuple[str, ...], label: str) -> None:
    """Fill in what is missing in `state` with zeros and bring what was loaded into the form that the kernel reads.

    Args:
        state: State of one parameter; changed in place.
        param: The parameter.
        names: Keys of the moments that the step needs.
        label: What to call the parameter in an error.

    Raises:
        ValueError: A loaded moment has another shape than the parameter, or is no plain tensor in host memory.
    """
    state["step"] = _as_step(state.get("step", 0.0))
    for name in names:
        moment = state.get(name)
        if moment is None:
            moment = torch.zeros_like(param, dtype=torch.float32, memory_format=torch.preserve_format)
        if moment.shape != param.shape:
            shapes = f"{tuple(moment.shape)}, the parameter {tuple(param.shape)}"
            raise ValueError(f"the optimizer state of {label} is of another model: {name} has shape {shapes}")
        if not is_ordinary(moment):
            kind = f"{type(moment).__name__} of {moment.dtype} on {moment.device}"
            raise ValueError(f"the optimizer state of {label} cannot be used: {name} is a {kind}")
        state[name] = moment.detach().to(dtype=torch.float32)


def is_ready(state: dict[str, Any], param: Tensor, names: tuple[str, ...]) -> bool:
    """Return whether the kernel can use `state` as it is."""
    step = state.get("step")
    if type(step) is not Tensor or step.dtype is not torch.float32 or not step.is_cpu or step.numel() != 1:
        return False
    shape = param.shape
    for name in names:
        moment = state.get(name)
        if type(moment) is not Tensor or moment.dtype is not torch.float32 or not moment.is_cpu:
            return False
        if moment.shape != shape:
            return False
    return True


def _as_step(step: Tensor | float) -> Tensor:
    if isinstance(step, Tensor):
        return step.detach().to(dtype=torch.float32, device="cpu").reshape(())
    return torch.tensor(float(step), dtype=torch.float32)
