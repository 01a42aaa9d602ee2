"""Checkpoints of weights that FSDP2 shares out: whole ones, which any number of processes goes on from, or shards.

`state_dict: full` writes what one process would write: the first process gathers a tensor at a time. `sharded` lets
every process write its own part, as safetensors by torch's distributed checkpoints; whoever loads takes the parts it
needs, on any number of processes. torch's own metadata and accelerate's files would be pickles.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.tensor import DTensor, distribute_tensor

from swift_core.errors import Problem, SwiftError
from swift_core.train.renamed import is_renamed, renamed_weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FOLDER = "shards"
"""In a checkpoint: the parts of weights and optimizer."""

OPTIMIZER = "optimizer.pt"
_WEIGHT, _STATE = "weight.", "state."


def is_sharded(checkpoint: Path) -> bool:
    """Say whether a checkpoint was written in parts."""
    return (checkpoint / FOLDER).is_dir()


def whole_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the whole trained and frozen weights on the CPU, on the first process; others take part and get none.

    Kept buffers are among them: an adapter's drawn matrices may be some.
    """
    from swift_core.train.engine.whole import whole_parameters

    first = not dist.is_initialized() or dist.get_rank() == 0
    named = dict(whole_parameters(model, keep=first)) | _kept_buffers(model)
    return {name: value.cpu() for name, value in named.items()} if first else {}


def save_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module, checkpoint: Path, *, sharded: bool) -> None:
    """Write the optimizer's state into a checkpoint, and with `sharded` its trained weights too."""
    state = optimizer.state_dict()
    if sharded:
        parts = dict(_trained(model)) | {name: value for name, value in _tensors(state) if isinstance(value, DTensor)}
        writer = HuggingFaceStorageWriter(str(checkpoint / FOLDER), save_distributed=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks on the state of the format
            save(parts, storage_writer=writer)
    plain = _mapped(state, lambda value: None if sharded else value.full_tensor().cpu())
    if not dist.is_initialized() or dist.get_rank() == 0:
        torch.save(plain, checkpoint / OPTIMIZER)


def load_weights(model: nn.Module, checkpoint: Path) -> None:
    """Put the weights of a checkpoint into `model`, whoever wrote them.

    Raises:
        SwiftError: It lacks one that is trained.
    """
    if is_sharded(checkpoint):
        read_parts(dict(_trained(model)), checkpoint)
        return
    found = renamed_weights(model, checkpoint) if is_renamed(model, checkpoint) else _files(checkpoint)
    wanted = _saved_names(model)
    lacking = [name for name, parameter in wanted.items() if name not in found and parameter.requires_grad]
    named = {id(parameter) for parameter in wanted.values()}
    lacking += [name for name, p in model.named_parameters() if p.requires_grad and id(p) not in named]
    if lacking:
        message = f"{checkpoint} lacks {len(lacking)} of the weights that are trained, {lacking[0]} among them."
        raise SwiftError(Problem("checkpoint-content", message, next_step="go on from a checkpoint of this run"))
    with torch.no_grad():
        for name, parameter in wanted.items():
            if name in found:
                parameter.copy_(_like(found[name], parameter))


def load_optimizer(optimizer: torch.optim.Optimizer, checkpoint: Path) -> None:
    """Put the state of a checkpoint into `optimizer`, whose parameters may be shared out otherwise."""
    saved = torch.load(checkpoint / OPTIMIZER, map_location="cpu", weights_only=True)
    ids = [index for group in saved["param_groups"] for index in group["params"]]
    params = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if is_sharded(checkpoint):
        parts = {
            state_name(index, name): torch.empty_like(parameter)
            for index, parameter in zip(ids, params, strict=True)
            for name, value in saved["state"].get(index, {}).items()
            if value is None
        }
        read_parts(parts, checkpoint)
        for name, value in parts.items():
            index, _, key = name.removeprefix(_STATE).partition(".")
            saved["state"][int(index)][key] = value
    else:
        for index, parameter in zip(ids, params, strict=True):
            state = saved["state"].get(index, {})
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape and value.dim():
                    state[name] = _like(value, parameter)
    optimizer.load_state_dict(saved)


def state_name(index: int, name: str) -> str:
    """Return the name in a file of a parameter's state."""
    return f"{_STATE}{index}.{name}"


def read_parts(parts: dict[str, Any], checkpoint: Path) -> None:
    """Fill tensors, by their names, with what all processes wrote."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load(parts, storage_reader=HuggingFaceStorageReader(str(checkpoint / FOLDER)))


def _trained(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield f"{_WEIGHT}{name}", parameter.detach()


def _tensors(state: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for index, values in state["state"].items():
        for name, value in values.items():
            yield state_name(index, name), value


def _mapped(state: dict[str, Any], change: Any) -> dict[str, Any]:
    """Return a state with every DTensor in it changed; all processes go through it in the same order."""
    states = {
        index: {name: change(value) if isinstance(value, DTensor) else value for name, value in values.items()}
        for index, values in state["state"].items()
    }
    return {**state, "state": states}


def _like(value: Tensor, parameter: Tensor) -> Tensor:
    """Return a whole tensor shared out as `parameter` is; every process has the whole."""
    if not isinstance(parameter, DTensor):
        return value.to(parameter.device)
    mesh = parameter.device_mesh
    return distribute_tensor(value.to(mesh.device_type), mesh, parameter.placements, src_data_rank=None)


def _kept_buffers(model: nn.Module) -> dict[str, Tensor]:
    """Return the buffers that are saved with a model; every process has the whole of each."""
    parameters = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    return {name: value for name, value in model.state_dict().items() if name not in parameters}


def _files(checkpoint: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for pattern in ("model*.safetensors", "adapter_model.safetensors"):
        for path in sorted(checkpoint.glob(pattern)):
            found |= load_file(path)
    return found


def _saved_names(model: Any) -> dict[str, Tensor]:
    """Return parameters by the names that they have in a file: peft leaves the adapter's name out."""
    named = dict(model.named_parameters()) | _kept_buffers(model)
    if not hasattr(model, "peft_config"):
        return named
    if model.active_peft_config.is_prompt_learning:  # of which peft makes a copy
        return {"prompt_embeddings": model.prompt_encoder[model.active_adapter].embedding.weight}
    from peft import get_peft_model_state_dict

    saved: dict[str, Tensor] = get_peft_model_state_dict(model, state_dict=named, save_embedding_layers=False)
    return saved
