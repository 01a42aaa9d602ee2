"""A callback of ms-swift: an object of the list `extra_callbacks`, or a class that takes (args, trainer)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swift_core.ms_swift.adapters._made import made

if TYPE_CHECKING:
    from collections.abc import Callable

    from swift_core.contracts.plugin import PluginSpec


def adapted(plugin: Any, spec: PluginSpec) -> Callable[..., Any]:
    """Return what builds the callback."""

    class Built:
        """Stands for the callback until it is built."""

        def __new__(cls, *, arguments: dict[str, Any] | None = None) -> Any:
            return made(plugin, arguments)

    Built.__name__ = Built.__qualname__ = getattr(plugin, "__name__", type(plugin).__name__)
    return Built
