"""What a file gets when it imports from ms-swift: registries that record, base classes, and a few helpers.

A name that is not here imports all the same, so that one line of a file does not cost the others; it fails with the
line that uses it.
"""

from __future__ import annotations

import logging
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from swift_core.errors import Place, Problem, SwiftError
from swift_core.ms_swift.names import CALLBACK_LIST, DECORATORS, MODULES, REGISTRIES, SUPPORTED, UNMAPPED

if TYPE_CHECKING:
    from collections.abc import Callable


class Record:
    """What one file registered while it ran."""

    def __init__(self) -> None:
        """Start empty, with the file running."""
        self.plugins: dict[tuple[str, str], Any] = {}
        self.is_running = True


class Registry(dict[str, Any]):
    """A dictionary of ms-swift; what is put in is recorded. It holds nothing of ms-swift's own."""

    def __init__(self, record: Record, kind: str, name: str) -> None:
        """Make the registry called `name`; an empty `kind` records nothing."""
        super().__init__()
        self._record, self._kind, self._name = record, kind, name

    def __setitem__(self, name: str, plugin: Any) -> None:
        super().__setitem__(name, plugin)
        if self._kind:
            self._record.plugins[self._kind, name] = plugin

    def __missing__(self, name: str) -> Any:
        raise KeyError(f"{self._name}[{name!r}] of ms-swift itself is not here")

    def setdefault(self, name: str, plugin: Any = None) -> Any:
        """Put `plugin` in unless there is one."""
        if name not in self:
            self[name] = plugin
        return self[name]

    def update(self, *others: Any, **named: Any) -> None:
        """Put several in."""
        for name, plugin in dict(*others, **named).items():
            self[name] = plugin

    def register(self, name: str) -> Callable[[Any], Any]:
        """Return a decorator that puts its class or function in."""

        def keep(plugin: Any) -> Any:
            self[name] = plugin
            return plugin

        return keep


class Callbacks(list[Any]):
    """The list of callbacks that take part in every run."""

    def __init__(self, record: Record) -> None:
        """Make an empty list."""
        super().__init__()
        self._record = record

    def append(self, callback: Any) -> None:
        """Add one."""
        self._record.plugins["callback", f"{CALLBACK_LIST}.{len(self)}"] = callback
        super().append(callback)

    def extend(self, callbacks: Any) -> None:
        """Add several."""
        for callback in callbacks:
            self.append(callback)

    def insert(self, index: Any, callback: Any) -> None:
        """Add one; they are called in the order in which they were added."""
        self.append(callback)

    def __iadd__(self, callbacks: Any) -> Callbacks:  # type: ignore[misc]
        self.extend(callbacks)
        return self


class _AbsentType(type):
    """The type of names that are not here: they can be imported, subclassed and named in annotations."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls._used(f".{name}")

    def _used(cls, how: str) -> Any:
        record: Record = cls.__dict__.get("_record") or cls.__mro__[-2].__dict__["_record"]
        if record.is_running:
            return absent(f"{cls.__name__}{how}", record)
        raise absent_error(f"{cls.__name__}{how}")


def absent(name: str, record: Record) -> type:
    """Return what stands for `name` of ms-swift, which is not here."""

    def refuse(cls: Any, *positional: Any, **named: Any) -> Any:
        return cls._used("(...)")

    return _AbsentType(name, (), {"_record": record, "__new__": refuse})


def absent_error(name: str) -> SwiftError:
    """Return the error for using `name` of ms-swift, with the line that does."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(os.path.dirname(__file__)):
        frame = frame.f_back
    place = Place(frame.f_code.co_filename, frame.f_lineno, 1)
    return SwiftError(Problem("ms-swift-absent", f"{name} of ms-swift is not here.", place, "take it out of the file"))


class StandIn(ModuleType):
    """A module of ms-swift, whichever: a name means the same in all of them."""

    def __init__(self, name: str, names: dict[str, Any], package: Package) -> None:
        """Make the module called `name`."""
        super().__init__(name)
        self.__path__: list[str] = []
        self.__all__ = sorted(names)
        self._names, self._package = names, package

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in MODULES and name not in self._names:
            return self._package.module(f"{self.__name__}.{name}")
        if name not in self._names:
            self._names[name] = absent(name, self._package.record)
        return self._names[name]


class Package:
    """All modules of ms-swift as one file sees them."""

    def __init__(self, record: Record) -> None:
        """Make them with what `record` keeps."""
        from swift_core.ms_swift import support

        self.record = record
        registries = {name: Registry(record, kind, name) for name, kind in REGISTRIES.items()}
        self._names: dict[str, Any] = {
            **{name: getattr(support, name) for name in SUPPORTED},
            **registries,
            **{name: registries[_first_registry(kind)].register for name, kind in DECORATORS.items()},
            **{name: _Ignored(record, name) for name in UNMAPPED},
            CALLBACK_LIST: Callbacks(record),
            "get_logger": lambda *_: logging.getLogger("swift_core.ms_swift"),
        }
        self._modules: dict[str, StandIn] = {}

    def module(self, name: str) -> StandIn:
        """Return the module called `name`, as an attribute of the one that holds it."""
        if name not in self._modules:
            self._modules[name] = StandIn(name, dict(self._names), self)
            parent, _, own = name.rpartition(".")
            if parent:
                setattr(self.module(parent), own, self._modules[name])
        return self._modules[name]


class _Ignored(Registry):
    """A registry or a decorator for what has no place here; reading the file has told so."""

    def __init__(self, record: Record, name: str) -> None:
        """Make the one called `name`."""
        super().__init__(record, "", name)

    def __call__(self, *positional: Any, **named: Any) -> Callable[[Any], Any]:
        return lambda plugin: plugin


def _first_registry(kind: str) -> str:
    return next(name for name, holds in REGISTRIES.items() if holds == kind)
