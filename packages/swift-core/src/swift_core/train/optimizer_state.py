"""What an optimizer says of itself, and how much it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.distributed.tensor import DTensor

if TYPE_CHECKING:
    from collections.abc import Callable

_WHOLE_PARAMETERS = ("NO", "MULTI_CPU", "MULTI_GPU", "MULTI_XPU", "MULTI_NPU")
"""Values of accelerate's `DistributedType` for which each process has every parameter and the mean gradient."""


def optimizer_metrics(optimizer: Any) -> dict[str, float]:
    """Return what an optimizer has to log: that of its method `metrics()`, where it has one."""
    own = getattr(_inner(optimizer), "metrics", None)
    return own() if callable(own) else {}


def clip_in_step(optimizer: Any, accelerator: Any) -> Callable[[float], Any] | None:
    """Return the optimizer's `clip_next_step`, which saves a pass over the gradients; None where it has none.

    None also where a process holds parts of parameters (FSDP, DeepSpeed): their norm is accelerate's to find.
    """
    clip: Callable[[float], Any] | None = getattr(_inner(optimizer), "clip_next_step", None)
    if clip is None or accelerator.distributed_type not in _WHOLE_PARAMETERS:
        return None
    accelerator.unscale_gradients()
    return clip


def optimizer_state_bytes(optimizer: Any) -> int:
    """Return the bytes of the states of this process, memory that tensors share counted once."""
    values = (value for state in _inner(optimizer).state.values() for value in _values(state))
    tensors = (value.to_local() if isinstance(value, DTensor) else value for value in values)
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes()
        for tensor in tensors
        if isinstance(tensor, torch.Tensor)
    }
    return sum(storages.values())


def _inner(optimizer: Any) -> Any:
    """Return the optimizer in what accelerate wraps around it."""
    return getattr(optimizer, "optimizer", optimizer)


def _values(state: Any) -> list[Any]:
    return list(state.values()) if isinstance(state, dict) else []
