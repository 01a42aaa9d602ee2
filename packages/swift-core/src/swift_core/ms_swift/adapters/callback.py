"""A callback of ms-swift: an object of the list `extra_callbacks`, or a class that takes (args, trainer)."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from swift_core.ms_swift.adapters._made import Late

if TYPE_CHECKING:
    from collections.abc import Callable

    from swift_core.contracts.plugin import PluginSpec


def adapted(plugin: Any, spec: PluginSpec) -> Callable[..., Any]:
    """Return what builds the callback."""

    class Built:
        """Stands for the callback until it is built."""

        def __new__(cls, *, arguments: dict[str, Any] | None = None) -> Any:
            return _told(plugin, arguments) if inspect.isclass(plugin) else plugin

    Built.__name__ = Built.__qualname__ = getattr(plugin, "__name__", type(plugin).__name__)
    return Built


def _told(plugin: Any, arguments: dict[str, Any] | None) -> Any:
    """Return the callback, or what becomes it, with `attach(trainer)`: by it core tells the trainer before training."""
    from transformers import TrainerCallback

    late = Late(plugin, arguments)
    if late.built is not None:
        if not hasattr(late.built, "attach"):
            late.built.attach = late.attach
        return late.built

    class Waiting(TrainerCallback):
        """Becomes the callback once there is a trainer."""

        def attach(self, trainer: Any) -> None:
            built = late.attach(trainer)
            for event in (name for name in dir(TrainerCallback) if name.startswith("on_")):
                setattr(self, event, getattr(built, event))

    return Waiting()
