"""Copies of what is trained of a model: made, put back, and kept beside a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

Weights = dict[str, "Tensor"]
"""Parameter name -> tensor, of the parameters that are trained."""


def trained(model: nn.Module) -> Weights:
    """Return the trained parameters of `model` themselves; writing into them writes into the model."""
    return {name: parameter.detach() for name, parameter in model.named_parameters() if parameter.requires_grad}


def copied(model: nn.Module) -> Weights:
    """Return a copy of the trained parameters of `model`."""
    return {name: tensor.clone() for name, tensor in trained(model).items()}


def put_(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Write `weights` into `model`."""
    for name, tensor in trained(model).items():
        tensor.copy_(weights[name])


def show_kept_weights(optimizer: Any) -> None:
    """Let an optimizer that trains at one point and keeps another (schedule-free) put what it keeps into the model."""
    if keeps_other_weights(optimizer):
        optimizer.eval()


def keeps_other_weights(optimizer: Any) -> bool:
    """Return whether an optimizer trains at one point and keeps another; accelerate's wrapper is seen through."""
    return callable(getattr(getattr(optimizer, "optimizer", optimizer), "eval", None))


def checkpoint_file(args: Any, state: Any, name: str) -> Path:
    """Return the path of file `name` in the checkpoint of the present step."""
    return Path(args.output_dir) / f"checkpoint-{state.global_step}" / name


def save(file: Path, weights: Mapping[str, Tensor], notes: Mapping[str, str]) -> None:
    """Write weights and notes to a safetensors file."""
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, file, metadata=dict(notes))


def load(file: Path, model: nn.Module) -> tuple[Weights, dict[str, str]]:
    """Return the weights, on the devices of `model`, and the notes that `save` wrote."""
    from safetensors import safe_open

    devices = {name: tensor.device for name, tensor in trained(model).items()}
    with safe_open(file, framework="pt") as opened:
        weights = {name: torch.as_tensor(opened.get_tensor(name)).to(device) for name, device in devices.items()}
        return weights, dict(opened.metadata() or {})
