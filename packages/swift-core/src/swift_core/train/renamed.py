"""Checkpoints whose weights have other names than the model's own.

transformers writes some models under the names that their published weights have (`visual.blocks...` of Qwen2-VL, where
the module is `model.visual.blocks...`). Its Trainer reads a checkpoint by the names of modules, warns of what is
missing and goes on without; `from_pretrained` knows both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from transformers import PreTrainedModel

from swift_core.quiet import no_load_report
from swift_core.resolve.model_facts import read_model

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn


def is_renamed(module: nn.Module, checkpoint: Path) -> bool:
    """Say whether the checkpoint of a whole model has weights that the model has not under the same name."""
    if not isinstance(module, PreTrainedModel):
        return False
    return not read_model(checkpoint).shapes.keys() <= module.state_dict().keys()


def load_renamed(module: nn.Module, checkpoint: Path) -> None:
    """Give `module` the weights of a checkpoint, each in the type that it has there."""
    kind: Any = type(module)
    with no_load_report():
        loaded = kind.from_pretrained(checkpoint, dtype="float32", trust_remote_code=False)  # exact whatever was stored
    module.load_state_dict(loaded.state_dict())
