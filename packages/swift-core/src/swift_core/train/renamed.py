"""Checkpoints whose weights have other names than the model's own.

transformers writes some models under the names that their published weights have (`visual.blocks...` of Qwen2-VL, where
the module is `model.visual.blocks...`). Its Trainer reads a checkpoint by the names of modules, warns of what is
missing and goes on without; `from_pretrained` knows both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safetensors import safe_open
from torch.distributed.fsdp import FSDPModule
from transformers import PreTrainedModel

from swift_core.quiet import no_load_report

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor, nn


def is_renamed(module: nn.Module, checkpoint: Path) -> bool:
    """Say whether the checkpoint of a whole model has weights that the model has not under the same name."""
    if not isinstance(module, PreTrainedModel):
        return False
    own = module.state_dict().keys()
    return any(not _names_in(path) <= own for path in checkpoint.glob("model*.safetensors"))  # others: not the model's


def _names_in(path: Path) -> set[str]:
    """Return the names of the weights in a file of safetensors."""
    with safe_open(path, "pt") as weights:
        return set(weights.keys())


def load_renamed(module: nn.Module, checkpoint: Path) -> None:
    """Give `module` the weights of a checkpoint, each in the type that it has there."""
    module.load_state_dict(renamed_weights(module, checkpoint))


def renamed_weights(module: nn.Module, checkpoint: Path) -> dict[str, Tensor]:
    """Return the weights of a checkpoint, on the CPU, under the names that they have in `module`, shared out or not."""
    kinds: Any = (kind for kind in type(module).__mro__ if not issubclass(kind, FSDPModule))  # which FSDP2 puts before
    with no_load_report():
        loaded = next(kinds).from_pretrained(checkpoint, dtype="float32", trust_remote_code=False)  # exact, as stored
    weights: dict[str, Tensor] = loaded.state_dict()
    return weights
