"""Full fine-tuning: the weights themselves are trained, all of them or those that patterns choose."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.assemble.vision.model_parts import parts_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from torch import nn
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """Train the weights of the model, all or some of them."""

    trainable: list[str] = field(default_factory=list)
    """Parts of parameter names, globs over whole names, or `part:vision`, `part:aligner`, `part:language`: only these
    are trained; none given trains all."""

    freeze: list[str] = field(default_factory=list)
    """Those of them that stay as they are, written alike: `embed_tokens`, `model.layers.[0-3].*`."""

    trains_adapter: ClassVar[bool] = False
    artifact: ClassVar[str] = "model"
    parameter_options: ClassVar[tuple[str, ...]] = ("trainable", "freeze")
    """Options whose entries fit parameters."""

    def check(self, model: PreTrainedModel) -> None:
        """Raise ValueError when a pattern fits no parameter of `model`; it needs no weights."""
        for option, patterns in (("trainable", self.trainable), ("freeze", self.freeze)):
            _require_parameters(model, option, patterns)

    def prepare_model(self, model: PreTrainedModel) -> PreTrainedModel:
        """Return `model` with the chosen weights trained; raise ValueError when they are quantised, or there are none.

        A tied weight, such as that of embeddings and head, is one parameter under its first name.
        """
        if getattr(model, "is_quantized", False):
            raise ValueError("quantised weights cannot be trained; use an adapter, or quantization_bit 0")
        self.check(model)
        fits = parts_of(model, [*self.trainable, *self.freeze]).fits
        for name, parameter in model.named_parameters():
            named = not self.trainable or any(fits(name, pattern) for pattern in self.trainable)
            parameter.requires_grad_(named and not any(fits(name, pattern) for pattern in self.freeze))
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise ValueError("freeze leaves no weight to train")
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


def _require_parameters(model: nn.Module, option: str, patterns: Sequence[str]) -> None:
    names = [name for name, _ in model.named_parameters()]
    fits = parts_of(model, patterns).fits
    for pattern in patterns:
        if not any(fits(name, pattern) for name in names):
            parts = sorted({part for name in names for part in name.split(".") if not part.isdecimal()})
            close = difflib.get_close_matches(pattern.strip("*.").rpartition(".")[2], parts, n=2, cutoff=0.6)
            hint = f"Did you mean {' or '.join(map(repr, close))}?" if close else f"Names have {', '.join(parts)}"
            raise ValueError(f"{option} {pattern!r} fits no parameter. {hint}")
