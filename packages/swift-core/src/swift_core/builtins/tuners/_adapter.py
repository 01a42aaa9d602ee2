"""What all tuners on peft have in common: going on with an adapter, the reference, saving and reading back."""

from __future__ import annotations

import json
import warnings
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from swift_core.builtins.tuners import _initial
from swift_core.builtins.tuners._modules import require_modules
from swift_core.contracts.models import run_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from peft import PeftConfig
    from transformers import PreTrainedModel

CONFIG = "adapter_config.json"
HEADS = ("score", "classifier")
"""What transformers calls the module of a classification head: it is trained whole and saved with the adapter."""

_TASKS = {"ForSequenceClassification": "SEQ_CLS", "ForTokenClassification": "TOKEN_CLS"}
"""End of the name of a model's class -> peft's task."""


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """Weights beside those of a frozen model."""

    adapter: str = ""
    """Folder of an adapter that training goes on from, or the run directory it lies in; its own options hold."""

    _base: Path = field(default_factory=run_folder, init=False, repr=False, compare=False)

    trains_adapter: ClassVar[bool] = True
    artifact: ClassVar[str] = "adapter"
    peft_type: ClassVar[str]
    """What peft calls it."""

    module_options: ClassVar[tuple[str, ...]] = ("target_modules",)
    """Options that name modules of the model."""

    first_weights: ClassVar[dict[str, list[str]]] = {"adapter": []}
    """Options with which the first weights are kept for the reference, and the values that do it; none: any."""

    said_by_adapter: ClassVar[dict[str, str]] = {}
    """Option -> key of `adapter_config.json` that an adapter which goes on says it by."""

    def __post_init__(self) -> None:
        if self.adapter:
            self._require_like(_read_config(self._folder()))

    def _folder(self) -> Path:
        folder = self._base / self.adapter
        return folder / "adapter" if (folder / "adapter" / CONFIG).is_file() else folder

    def _require_like(self, config: Mapping[str, Any]) -> None:
        """Raise ValueError when the adapter is of another kind, or options ask for another shape than it has."""
        if config.get("peft_type") != self.peft_type:
            raise ValueError(f"adapter {self.adapter!r} is of the kind {config.get('peft_type')}, not {self.peft_type}")
        defaults = {option.name: option.default for option in fields(self)}
        for name, key in self.said_by_adapter.items():
            asked = getattr(self, name)
            if asked != defaults[name] and asked != config.get(key):
                raise ValueError(f"adapter {self.adapter!r} has {name} {config.get(key)}, and {asked} is asked for")

    def check(self, model: PreTrainedModel) -> None:
        """Raise ValueError when options name modules that `model` has not; it needs no weights."""
        if not self.adapter:
            for name in self.module_options:
                require_modules(model, name, getattr(self, name))

    def prepare_model(self, model: PreTrainedModel) -> PreTrainedModel:
        """Return `model` with adapters in it; raise ValueError when it has none of their places."""
        import peft

        self.check(model)
        if getattr(model, "is_quantized", False):
            model = peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
        with without_peft_warnings():
            if not self.adapter:
                return self.settled(cast("Any", peft.get_peft_model(model, self.config(model))))
            adapted = cast("Any", peft.PeftModel.from_pretrained(model, str(self._folder()), is_trainable=True))
        _initial.keep(adapted)
        return self.settled(adapted)

    def config(self, model: PreTrainedModel) -> PeftConfig:
        """Return peft's settings of a new adapter."""
        raise NotImplementedError

    def settled(self, model: PreTrainedModel) -> PreTrainedModel:
        """Return `model`, which has the adapter now, as it is used."""
        return model

    def reference(self, model: PreTrainedModel) -> AbstractContextManager[object] | None:
        """Return a context in which `model` is what training began from; a model without adapters is so itself."""
        if _initial.kept(model):
            return _initial.restored(model)
        disable = getattr(model, "disable_adapter", nullcontext)
        return cast("AbstractContextManager[object]", disable())

    def save_pretrained(self, model: PreTrainedModel, directory: Path) -> None:
        """Write the adapter as safetensors."""
        # peft would otherwise ask the hub whether the vocabulary grew.
        cast("Any", model).save_pretrained(directory, save_embedding_layers=False)

    def from_pretrained(self, model: PreTrainedModel, directory: Path) -> PreTrainedModel:
        """Return `model` with the adapter of `directory`, ready to answer."""
        import peft

        with without_peft_warnings():
            return self.settled(cast("Any", peft.PeftModel.from_pretrained(model, str(directory))))


def _read_config(folder: Path) -> dict[str, Any]:
    """Return the settings of an adapter; raise ValueError when the folder has none."""
    file = folder / CONFIG
    if not file.is_file():
        raise ValueError(f"adapter {str(folder)!r} is no folder with an {CONFIG}")
    try:
        config: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} cannot be read: {error}") from error
    return config


def task_of(model: PreTrainedModel) -> str | None:
    """Return peft's name for what the model's head does; None for a model without one, which writes nothing."""
    name = type(model).__name__
    writes = "CAUSAL_LM" if hasattr(model, "prepare_inputs_for_generation") else None
    return next((task for ending, task in _TASKS.items() if name.endswith(ending)), writes)


def heads_of(model: PreTrainedModel) -> list[str] | None:
    """Return the names of the model's classification head, None for none; peft adds it to `modules_to_save`."""
    return [name for name in HEADS if hasattr(model, name)] or None


@contextmanager
def without_peft_warnings() -> Iterator[None]:
    """Keep quiet that peft reads a property which transformers renames in its version 6: users cannot mend it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        yield
