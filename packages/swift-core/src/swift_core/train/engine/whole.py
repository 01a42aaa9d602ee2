"""Whole weights of a model that processes share: for what is written at the end, and for engines that draw answers."""

from __future__ import annotations

import importlib
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

if TYPE_CHECKING:
    from collections.abc import Iterator


def whole_parameters(model: nn.Module, *, keep: bool = True) -> Iterator[tuple[str, Tensor]]:
    """Yield each parameter with its whole value; every process must take part, and one is gathered at a time.

    Args:
        model: Sharded or not.
        keep: Whether this process wants the values; others get empty tensors.
    """
    for name, parameter in model.named_parameters():
        with ExitStack() as stack:
            value = parameter.detach()
            if isinstance(value, DTensor):
                value = value.full_tensor()
            elif hasattr(parameter, "ds_id"):
                deepspeed: Any = importlib.import_module("deepspeed")
                stack.enter_context(deepspeed.zero.GatheredParameters([parameter]))
                value = parameter.data.clone()
            yield name, value if keep else torch.empty(0)


@contextmanager
def merged_(model: nn.Module) -> Iterator[None]:
    """Let the adapters of `model` be part of its weights inside the block; afterwards all is as before, bit for bit.

    Raises:
        ValueError: Its adapters are no change of weights.
    """
    if not hasattr(model, "peft_config"):
        yield
        return
    live: Any = model
    if not callable(getattr(live.base_model, "merge_adapter", None)):
        raise ValueError("its adapters are no change of weights, and cannot be handed over as such")
    base = [(value, value.detach().clone()) for name, value in model.named_parameters() if ".base_layer." in name]
    live.base_model.merge_adapter()
    try:
        yield
    finally:
        live.base_model.unmerge_adapter()
        with torch.no_grad():
            for value, before in base:
                value.copy_(before)


def served_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield what another program loads as this model, by the names of its files; call it inside `merged_`.

    Adapters are left out, being merged, and so is what a procedure put beside the model (`stays_here`).
    """
    own = [f"{name}." for name, module in model.named_modules() if getattr(module, "stays_here", False)]
    layers = {name for module in model.modules() for name in getattr(module, "adapter_layer_names", ())}
    layers |= {name for module in model.modules() for name in getattr(module, "other_param_names", ())}
    for name, value in whole_parameters(model):
        parts = name.removeprefix("base_model.model.").split(".")
        if (layers - {"modules_to_save"}) & set(parts) or "original_module" in parts or name.startswith(tuple(own)):
            continue
        if "modules_to_save" in parts:
            place = parts.index("modules_to_save")
            del parts[place : place + 2]  # and the adapter's name
        yield ".".join(part for part in parts if part != "base_layer"), value


def unshard_(model: nn.Module) -> None:
    """Give the first process the whole weights of `model`, on the CPU, so that it can be saved; it cannot train on."""
    from torch.distributed.fsdp import FSDPModule

    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()
    first = dist.get_rank() == 0
    for name, value in whole_parameters(model, keep=first):
        if first:
            _put(model, name, value.cpu())
    getattr(model, "config", model).__dict__.pop("distributed_config", None)  # nothing is cut any more


def _put(model: nn.Module, name: str, value: Tensor) -> None:
    """Put a plain parameter in the place of a sharded one, wherever it is tied to."""
    owner_name, _, last = name.rpartition(".")
    old = getattr(model.get_submodule(owner_name), last)
    new = nn.Parameter(value, requires_grad=old.requires_grad)
    for module in model.modules():
        for key, parameter in list(module._parameters.items()):
            if parameter is old:
                module._parameters[key] = new


def mark_sharded(model: Any) -> None:
    """Tell transformers that all processes must call the model equally often when it draws answers."""
    model._is_fsdp_managed_module = True
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    inner._is_fsdp_managed_module = True
