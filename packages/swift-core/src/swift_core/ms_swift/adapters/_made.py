"""Building what files of ms-swift register: classes take `args`, `(args, trainer)` or nothing; functions stay."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from swift_core.contracts.models import run_settings
from swift_core.ms_swift.arguments import Arguments, TrainerView


def made(plugin: Any, arguments: Mapping[str, Any] | None) -> Any:
    """Return an object of `plugin`, a function or an object as it is."""
    if not inspect.isclass(plugin):
        return plugin
    args = Arguments(run_settings(), arguments or {})
    offered = {"args": args, "trainer": TrainerView(args)}
    return plugin(**_taken(plugin, offered))


def _taken(plugin: type, offered: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of `offered` the constructor takes by name."""
    parameters = inspect.signature(plugin).parameters.values()
    names = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return {name: value for name, value in offered.items() if name in names}


def named(base: type, plugin: Any) -> type:
    """Return a subclass of an adapter for one plugin, called as the plugin is."""
    name = getattr(plugin, "__name__", type(plugin).__name__)
    return type(name, (base,), {"plugin": staticmethod(plugin), "__doc__": getattr(plugin, "__doc__", None)})
