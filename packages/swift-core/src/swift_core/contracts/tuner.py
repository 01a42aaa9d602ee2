"""Tuners: what part of a model is trained, and how it is saved."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Tuner(Protocol):
    """A `swift.tuners` plugin, built from its options.

    What it declares stands in its class as literals. It may declare more:

    - `adds_tokens = True`: its model reads tokens of its own before each row, so rows never stand in one line;
    - `heads`: the heads of models that it can be applied to, such as `("causal_lm",)`; left out, all;
    - `excludes`: keys of the run file that do not go with it, each with the reason: `{"train.packing": "..."}`, or
      with one value, `{"device.parallel_method=fsdp2": "..."}`;
    - `quantization_bits`: the `model.quantization_bit` of a run that gives none.

    It may have more methods:

    - `check(model)`: raise ValueError for options that do not fit a model of this shape; called before weights are
      loaded, with a model that has none;
    - `lr_scale(name) -> float`: the factor of the learning rate of a trained parameter;
    - `decays(name) -> bool`: whether a matrix among the trained parameters decays; left out, every one does;
    - `callbacks() -> list`: what it needs of `transformers.TrainerCallback`, called before those of the run file;
    - `penalty(model) -> Tensor`: a scalar whose gradient is added to that of every step, before clipping.
    """

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
