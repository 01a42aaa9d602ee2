"""Tuners: what part of a model is trained, and how it is saved."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Tuner(Protocol):
    """A `swift.tuners` plugin, built from its options."""

    trains_adapter: ClassVar[bool]
    """True when the base weights stay frozen: the model's own dtype may then be narrow."""

    artifact: ClassVar[str]
    """Folder of the run directory that the result is saved in: `adapter` or `model`."""

    def prepare_model(self, model: PreTrainedModel) -> PreTrainedModel:
        """Return `model` with what is trained marked `requires_grad`."""

    def reference(self, model: PreTrainedModel) -> AbstractContextManager[object] | None:
        """Return a context in which `model` behaves as before training, or None when it cannot."""

    def save_pretrained(self, model: PreTrainedModel, directory: Path) -> None:
        """Write what was trained."""

    def from_pretrained(self, model: PreTrainedModel, directory: Path) -> PreTrainedModel:
        """Return base `model` with what `save_pretrained` wrote."""
