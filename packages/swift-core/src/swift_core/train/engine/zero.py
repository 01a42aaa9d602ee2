"""Checkpoints under DeepSpeed's ZeRO, written as one process would write them; its own are pickles.

DeepSpeed cuts all parameters of a group, laid end to end, into flat pieces, and its optimizer sees those. Here they
are put together again, a parameter and a state at a time, through DeepSpeed's own accessors, and `optimizer.pt` holds
what torch's optimizer of one process holds. Any method and number of processes goes on from it, and ZeRO from theirs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from swift_core.errors import Problem, SwiftError
from swift_core.train.engine.shards import OPTIMIZER, is_sharded, read_parts, state_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from torch.nn import Parameter

_WIDE_ENOUGH = (torch.float32, torch.bfloat16, torch.float16)
"""Types of states that DeepSpeed's accessors hand through float32 without loss."""


def save_optimizer(engine: Any, groups: Sequence[Sequence[Parameter]], checkpoint: Path) -> None:
    """Write the optimizer's whole state into a checkpoint; every process must take part, the first one writes.

    Args:
        engine: DeepSpeed's.
        groups: The trained parameters as the optimizer was given them, group for group.
        checkpoint: The folder.

    Raises:
        SwiftError: A state cannot be put together.
    """
    _link(engine, groups)
    first, numbers = dist.get_rank() == 0, _numbers(groups)
    state: dict[int, dict[str, Any]] = {}
    for group, pieces in zip(groups, _pieces(engine), strict=True):
        for parameter in group:
            whole = {name: _whole(parameter, name, value) for name, value in _values(engine, pieces)}
            if first and whole:
                state[numbers[id(parameter)]] = whole
    if first:
        torch.save({"state": state, "param_groups": _options(engine, groups)}, checkpoint / OPTIMIZER)


def load_optimizer(engine: Any, groups: Sequence[Sequence[Parameter]], checkpoint: Path) -> None:
    """Put the state of a checkpoint into DeepSpeed's optimizer, which has taken no step; whoever wrote it.

    Args:
        engine: DeepSpeed's.
        groups: The trained parameters as the optimizer was given them, group for group.
        checkpoint: The folder.
    """
    saved, numbers = torch.load(checkpoint / OPTIMIZER, map_location="cpu", weights_only=True), _numbers(groups)
    state = saved["state"]
    if is_sharded(checkpoint):
        shapes = {numbers[id(parameter)]: _shape(parameter) for group in groups for parameter in group}
        _fill_from_parts(state, shapes, checkpoint)
    for group, pieces, live, kept in zip(
        groups, _pieces(engine), _inner(engine).param_groups, saved["param_groups"], strict=True
    ):
        live.update({name: value for name, value in kept.items() if name != "params"})
        kept_of = next((one for one in group if numbers[id(one)] in state), None)
        if kept_of is not None:
            for piece in pieces:
                _inner(engine).state[piece] = _begun(state[numbers[id(kept_of)]], kept_of, piece)
    if not state:
        return
    _link(engine, groups)
    for parameter in (parameter for group in groups for parameter in group):
        for name, value in state.get(numbers[id(parameter)], {}).items():
            if _is_laid_out(value, parameter):
                _put(parameter, name, value)


def _begun(example: Mapping[str, Any], parameter: Tensor, piece: Tensor) -> dict[str, Any]:
    """Return the states of a flat piece as those of a parameter are, with zeros for what each weight has of its own."""
    return {
        name: torch.zeros_like(piece, dtype=value.dtype) if _is_laid_out(value, parameter) else _copy(value)
        for name, value in example.items()
    }


def own_part(parameter: Tensor) -> Tensor:
    """Return what this process has of a parameter, which under ZeRO-3 is empty between two passes."""
    piece: Tensor = getattr(parameter, "ds_tensor", parameter)
    return piece.detach()


def _inner(engine: Any) -> Any:
    """Return torch's optimizer in DeepSpeed's."""
    return engine.optimizer.optimizer


def _pieces(engine: Any) -> list[list[Tensor]]:
    """Return the flat pieces of this process that the optimizer moves, group for group."""
    optimizer = engine.optimizer
    if engine.zero_optimization_stage() < 3:
        return [[piece] for piece in optimizer.single_partition_of_fp32_groups]
    pieces: list[list[Tensor]] = [[] for _ in _inner(engine).param_groups]
    for number, piece in enumerate(optimizer.fp32_partitioned_groups_flat):
        pieces[optimizer.sub_group_to_group_id[number]].append(piece)
    return pieces


def _link(engine: Any, groups: Sequence[Sequence[Parameter]]) -> None:
    """Let the accessors find all states: DeepSpeed links those of the first group only (0.19, ZeRO-2)."""
    for group, pieces in zip(groups, _pieces(engine), strict=True):
        for parameter in group if engine.zero_optimization_stage() < 3 else ():
            mapping = getattr(parameter, "_hp_mapping", None)  # None where all of it is another process's
            if mapping is not None:
                mapping.set_optim_state_fragment(pieces[0], _inner(engine).state.get(pieces[0], {}))


def _values(engine: Any, pieces: Sequence[Tensor]) -> Iterator[tuple[str, Any]]:
    """Yield the states of a group: None for one that has a number for each weight, else the value itself."""
    for name, value in _inner(engine).state.get(pieces[0], {}).items() if pieces else ():
        if not isinstance(value, Tensor) or value.dim() == 0:
            yield name, value
        elif value.shape == pieces[0].shape and value.dtype in _WIDE_ENOUGH:
            yield name, value.dtype
        else:
            message = f"the optimizer keeps {name} as {tuple(value.shape)} of {value.dtype} for a piece of weights, "
            message += "which cannot be put together for a checkpoint."
            next_step = "write parallel_method: fsdp2, or choose another optimizer"
            raise SwiftError(Problem("engine-conflict", message, next_step=next_step))


def _whole(parameter: Parameter, name: str, value: Any) -> Any:
    """Return a state of one parameter, put together on all processes; `value` is its type, or a state of no shape."""
    if not isinstance(value, torch.dtype):
        return _copy(value)
    accessors: Any = importlib.import_module("deepspeed.utils")
    return accessors.safe_get_full_optimizer_state(parameter, name).to("cpu", value)


def _put(parameter: Any, name: str, value: Tensor) -> None:
    """Give every process its part of a state."""
    accessors: Any = importlib.import_module("deepspeed.utils")
    if not hasattr(parameter, "ds_tensor"):
        accessors.safe_set_full_optimizer_state(parameter, value, name)
        return
    size = parameter.ds_tensor.numel()  # the last process has fewer weights, filled up
    flat = torch.zeros(size * dist.get_world_size(), dtype=value.dtype)
    flat[: value.numel()] = value.flatten()
    accessors.safe_set_local_optimizer_state(parameter, flat.narrow(0, size * dist.get_rank(), size), name)


def _fill_from_parts(state: Any, shapes: dict[int, torch.Size], checkpoint: Path) -> None:
    """Read the states that FSDP2's processes wrote in parts, where `state` says None."""
    found = {
        state_name(number, name): torch.empty(shapes[number])
        for number, values in state.items()
        for name, value in values.items()
        if value is None
    }
    read_parts(found, checkpoint)
    for number, values in state.items():
        values.update({name: found[state_name(number, name)] for name, value in values.items() if value is None})


def _numbers(groups: Sequence[Sequence[Parameter]]) -> dict[int, int]:
    """Return the number that a state of torch's optimizers gives each parameter, by its identity."""
    return {id(parameter): number for number, parameter in enumerate(one for group in groups for one in group)}


def _options(engine: Any, groups: Sequence[Sequence[Parameter]]) -> list[dict[str, Any]]:
    """Return the options of all groups as torch's optimizers write them."""
    numbers = _numbers(groups)
    return [
        {**{name: value for name, value in live.items() if name != "params"}, "params": [numbers[id(p)] for p in group]}
        for live, group in zip(_inner(engine).param_groups, groups, strict=True)
    ]


def _is_laid_out(value: Any, parameter: Tensor) -> bool:
    """Say whether a state has a number for each weight of its parameter."""
    return isinstance(value, Tensor) and value.dim() > 0 and value.shape == _shape(parameter)


def _shape(parameter: Any) -> torch.Size:
    """Return the shape of the whole parameter."""
    shape: torch.Size = getattr(parameter, "ds_shape", parameter.shape)
    return shape


def _copy(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value
