"""A tuner of ms-swift: static methods `prepare_model`, `save_pretrained` and `from_pretrained`."""

from __future__ import annotations

import inspect
import warnings
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.contracts.models import run_settings
from swift_core.ms_swift.adapters._made import named
from swift_core.ms_swift.arguments import Arguments

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from swift_core.contracts.plugin import PluginSpec


class _Tuner:
    """Calls the static methods; an adapter of peft gives the reference by switching itself off."""

    plugin: ClassVar[Any]
    trains_adapter: ClassVar[bool] = False
    artifact: ClassVar[str] = "adapter"

    def __init__(self, *, arguments: dict[str, Any] | None = None) -> None:
        self._args = Arguments(run_settings(), arguments or {})

    def prepare_model(self, model: Any) -> Any:
        """Return the model with what is trained marked."""
        prepare = self.plugin.prepare_model
        first = next(iter(inspect.signature(prepare).parameters))
        with warnings.catch_warnings():  # peft reads a property that transformers renames: no user can mend it
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            return prepare(self._args, model) if first == "args" else prepare(model, self._args)

    def reference(self, model: Any) -> AbstractContextManager[object] | None:
        """Return a context without the adapter, where the model has one."""
        if not hasattr(model, "disable_adapter"):
            return None
        context: AbstractContextManager[object] = model.disable_adapter()
        return context

    def save_pretrained(self, model: Any, directory: Path) -> None:
        """Write what was trained."""
        self.plugin.save_pretrained(model, str(directory))

    def from_pretrained(self, model: Any, directory: Path) -> Any:
        """Return the model with what was written."""
        return self.plugin.from_pretrained(model, str(directory))


def adapted(plugin: Any, spec: PluginSpec) -> type:
    """Return the tuner as ours."""
    return named(_Tuner, plugin)
