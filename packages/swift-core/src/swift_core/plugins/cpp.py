"""Plugins in a C++ file beside the run file, `./kernel.cpp:Name`: what is bound there, used as if it were Python."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.plugins.cpp_build import built, imported
from swift_core.plugins.cpp_source import Binding, bindings_in, is_cpp

if TYPE_CHECKING:
    from swift_core.contracts.plugin import PluginSpec


def load_cpp(spec: PluginSpec) -> Any:
    """Build the file of `spec` where that is not done, and return what its name means, with a signature to read.

    `spec.path` may be the compiled module already, as in a worker that may start no compiler.
    """
    path = spec.path or Path()
    source = Path(spec.target.rpartition(":")[0])
    value = getattr(imported(built(path) if is_cpp(path) else path), spec.name)
    binding = bindings_in(source.read_text(encoding="utf-8", errors="replace")).get(spec.name)
    if binding is None:
        return value
    return _class(value, binding) if isinstance(value, type) else _function(value, binding)


def _function(function: Any, binding: Binding) -> Any:
    def call(*positional: Any, **named: Any) -> Any:
        return function(*positional, **named)

    call.__name__ = call.__qualname__ = binding.name
    call.__doc__ = function.__doc__
    call.__signature__ = binding.signature()  # type: ignore[attr-defined]
    return call


def _class(bound: type, binding: Binding) -> type:
    """Return a class whose objects hold one of `bound`: compiled objects take no signature."""

    class Held:
        __signature__ = binding.constructor()

        def __init__(self, **options: Any) -> None:
            self._held = bound(**options)
            self.__signature__ = binding.signature()

        def __call__(self, *positional: Any, **named: Any) -> Any:
            return self._held(*positional, **named)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__") or name == "_held":
                raise AttributeError(name)
            return getattr(self._held, name)

    Held.__name__ = Held.__qualname__ = binding.name
    Held.__doc__ = bound.__doc__
    return Held
