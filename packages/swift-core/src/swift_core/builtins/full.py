"""Full fine-tuning: every weight is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """Train all weights of the model."""

    trains_adapter: ClassVar[bool] = False
    artifact: ClassVar[str] = "model"

    def prepare_model(self, model: PreTrainedModel) -> PreTrainedModel:
        """Return `model` with every weight trained; raise ValueError when they are quantised."""
        if getattr(model, "is_quantized", False):
            raise ValueError("quantised weights cannot be trained; use an adapter, or quantization_bit 0")
        model.requires_grad_(True)
        return model

    def reference(self, model: PreTrainedModel) -> AbstractContextManager[object] | None:
        """Return None: the weights before training are gone, so the run keeps a copy of them."""
        return None

    def save_pretrained(self, model: PreTrainedModel, directory: Path) -> None:
        """Write the whole model as safetensors."""
        model.save_pretrained(directory)

    def from_pretrained(self, model: PreTrainedModel, directory: Path) -> PreTrainedModel:
        """Return `model` with the weights of `directory`, each in the type and on the device it has in `model`."""
        loaded: Any = type(model).from_pretrained(directory, dtype="float32")  # exact whatever was stored
        model.load_state_dict(loaded.state_dict())
        return model
