"""A tuner: train the norms and biases alone, and save nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from safetensors.torch import load_file, save_file


@dataclass(frozen=True, kw_only=True)
class NormsAndBiases:
    """Train every weight that is no matrix: after BitFit (Ben Zaken et al., 2021, arXiv:2106.10199)."""

    lr_factor: float = 10.0
    """What their learning rate is multiplied by, > 0: there are few of them, so they may move far."""

    trains_adapter: ClassVar[bool] = False
    artifact: ClassVar[str] = "model"

    def __post_init__(self) -> None:
        if not self.lr_factor > 0:
            raise ValueError(f"lr_factor must be > 0, got {self.lr_factor}")

    def prepare_model(self, model):
        """Mark what is trained."""
        for parameter in model.parameters():
            parameter.requires_grad_(parameter.ndim < 2)
        return model

    def lr_scale(self, name: str) -> float:
        """Return the factor of the learning rate of a trained parameter."""
        return self.lr_factor

    def reference(self, model):
        """Return None: the run keeps a copy of the model for stages that need a reference."""
        return None

    def save_pretrained(self, model, directory: Path) -> None:
        """Write what was trained."""
        directory.mkdir(parents=True, exist_ok=True)
        trained = {name: value.detach().contiguous() for name, value in model.named_parameters() if value.requires_grad}
        save_file(trained, directory / "norms.safetensors", metadata={"format": "pt"})

    def from_pretrained(self, model, directory: Path):
        """Return the base model with what was trained."""
        missing = model.load_state_dict(load_file(directory / "norms.safetensors"), strict=False)
        if missing.unexpected_keys:
            raise ValueError(f"the model has no {missing.unexpected_keys[0]}")
        return model
