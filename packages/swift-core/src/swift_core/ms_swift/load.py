"""Run a file written for ms-swift, once, and return what it registers as plugins of ours.

Its `import swift` is answered by its own `__import__`: nothing is put in `sys.modules`, so an installed package of that
name is neither needed nor touched, and an import inside a function is answered as well when it runs later.
"""

from __future__ import annotations

import builtins
import hashlib
import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from swift_core.errors import Problem, SwiftError
from swift_core.ms_swift.names import PACKAGE
from swift_core.ms_swift.read import is_ms_swift
from swift_core.ms_swift.stand_ins import Package, Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from swift_core.contracts.plugin import PluginSpec

_records: dict[str, Record] = {}
"""What each file that has run registered, by the hash of its content."""


def load_plugin(spec: PluginSpec) -> Any:
    """Return the plugin that `spec` names: a class or function that keeps our contract of its kind.

    Whatever the file raises is passed on; whether it may run was decided before.

    Raises:
        SwiftError: The file ran and registered no such plugin.
    """
    path: Path = spec.path  # type: ignore[assignment]  # a file plugin has one
    record = run_file(path)
    if (spec.kind, spec.name) not in record.plugins:
        names = ", ".join(sorted(name for kind, name in record.plugins if kind == spec.kind)) or "none"
        message = f"{path} ran and did not register the {spec.kind} {spec.name!r}; of that kind it registered {names}."
        raise SwiftError(Problem("unknown-plugin", message, next_step="register it where the file is read"))
    adapters = importlib.import_module(f"swift_core.ms_swift.adapters.{spec.kind}")
    return adapters.adapted(record.plugins[spec.kind, spec.name], spec)


def run_file(path: Path) -> Record:
    """Run a file, once, and return what it registered."""
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest in _records:
        return _records[digest]
    record = Record()
    package = Package(record)
    name = f"swift_ms_file_{digest[:16]}"
    module = ModuleType(name)
    module.__file__ = str(path)
    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _importer(package)}
    code = compile(content, str(path), "exec", dont_inherit=True)
    sys.modules[name] = module  # dataclasses and pickle look their module up by name
    try:
        exec(code, module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    record.is_running = False
    _records[digest] = record
    return record


def _importer(package: Package) -> Any:
    def import_(
        name: str,
        globals: Mapping[str, Any] | None = None,  # noqa: A002 - Python calls them by these names
        locals: Mapping[str, Any] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if level or not is_ms_swift(name):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        module = package.module(name)
        return module if fromlist else package.module(PACKAGE)

    return import_
