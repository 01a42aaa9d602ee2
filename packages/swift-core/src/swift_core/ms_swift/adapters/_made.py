"""Building what files of ms-swift register: classes take `args`, `(args, trainer)` or nothing; functions stay."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from swift_core.contracts.models import run_settings
from swift_core.ms_swift.arguments import Arguments, NoTrainerYetError, TrainerView


def view(arguments: Mapping[str, Any] | None) -> TrainerView:
    """Return what a plugin sees of its trainer; for where the settings of the run are at hand."""
    return TrainerView(Arguments(run_settings(), arguments or {}))


def made(plugin: Any, arguments: Mapping[str, Any] | None, trainer: TrainerView | None = None) -> Any:
    """Return an object of `plugin`, a function or an object as it is."""
    if not inspect.isclass(plugin):
        return plugin
    trainer = trainer or view(arguments)
    offered = {"args": trainer.args, "trainer": trainer}
    return plugin(**_taken(plugin, offered))


class Late:
    """A plugin that is built at once, or, where it reads its trainer while it is built, once there is one."""

    def __init__(self, plugin: Any, arguments: Mapping[str, Any] | None) -> None:
        """Build it if that can be."""
        self._plugin, self._arguments = plugin, arguments
        self.trainer = view(arguments)
        self.built: Any = None
        with suppress(NoTrainerYetError):
            self.built = made(plugin, arguments, self.trainer)

    def attach(self, trainer: Any) -> Any:
        """Give it the run's trainer; return the object."""
        self.trainer.attach(trainer)
        return self.built or self.retry()

    def retry(self) -> Any:
        """Build it now; raise NoTrainerYetError when it still reads a trainer that is not there."""
        self.built = made(self._plugin, self._arguments, self.trainer)
        return self.built


def _taken(plugin: type, offered: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of `offered` the constructor takes by name."""
    parameters = inspect.signature(plugin).parameters.values()
    names = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return {name: value for name, value in offered.items() if name in names}


def named(base: type, plugin: Any) -> type:
    """Return a subclass of an adapter for one plugin, called as the plugin is."""
    name = getattr(plugin, "__name__", type(plugin).__name__)
    return type(name, (base,), {"plugin": staticmethod(plugin), "__doc__": getattr(plugin, "__doc__", None)})
