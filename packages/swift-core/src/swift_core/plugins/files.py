"""Plugins in a file beside the run file: `./my_loss.py:FocalLoss`, `./kernel.cpp:Lion`.

A file becomes a module named by the hash of its content, so that two files called plugin.py never meet, and one file
changed between two runs of a process is loaded anew. `sys.path` is left as it is.
"""

from __future__ import annotations

import ast
import hashlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from swift_core.contracts.plugin import PluginSpec
from swift_core.contracts.registration import registered_by, registering_for
from swift_core.plugins.cpp_source import bindings_in, is_cpp
from swift_core.plugins.errors import PluginError
from swift_core.plugins.policy import did_you_mean
from swift_core.plugins.source import read_file

if TYPE_CHECKING:
    from swift_core.plugins.kinds import Kind


def is_file_reference(reference: str) -> bool:
    """Say whether a reference is a file and not a name."""
    path = reference.rpartition(":")[0] or reference
    return reference.startswith((".", "/", "~")) or "/" in reference or path.endswith((".py", ".cpp"))


def path_in(base: Path, written: str) -> Path:
    """Return the path that is `written` in a run file in the folder `base`."""
    return (base / os.path.expanduser(written)).resolve()


def find_file(kind: Kind, reference: str, base: Path) -> PluginSpec:
    """Return the plugin that `PATH:attribute` means; the file is read and not run.

    Raises:
        PluginError: When there is no such file, it is not Python, or it neither defines nor registers the attribute.
    """
    written, _, attribute = reference.rpartition(":")
    if not written or not attribute or "/" in attribute:
        message = f"{reference!r} says which file and not what in it."
        raise PluginError("malformed-reference", message, f"write {reference.rstrip(':')}:NAME")
    path = path_in(base, written)
    if path.suffix != ".py" and not is_cpp(path):
        message = f"{written} is neither a Python file nor a C++ file; plugins in other languages come as wheels."
        raise PluginError("unsupported-file", message, "write a .py or .cpp file")
    content = _content(path, written)
    names = _names_bound(content) if is_cpp(path) else _names_in(path, written)
    if attribute.split(".")[0] not in names and "*" not in names:
        hint = did_you_mean(attribute, sorted(names)) or (f" It has {', '.join(sorted(names))}." if names else "")
        message = f"{written} has no {attribute!r}.{hint}"
        raise PluginError("unknown-plugin", message, f"define {attribute} in {written}, or correct the name")
    return PluginSpec(
        kind=kind.name,
        name=attribute,
        target=f"{path}:{attribute}",
        distribution="(file)",
        version=_digest(content)[:12],
        origin="file",
        path=path,
    )


def load_file(spec: PluginSpec) -> object:
    """Run the file of `spec` once and return what its target names, by registered name or as an attribute.

    Whatever the file raises is passed on; whether it may run was decided before.
    """
    if spec.dialect:
        from swift_core.ms_swift.load import load_plugin

        plugin: object = load_plugin(spec)
        return plugin
    path = spec.path or Path()
    if path.suffix != ".py":
        from swift_core.plugins.cpp import load_cpp

        return load_cpp(spec)
    module = _module(path)
    registered = registered_by(module.__name__, spec.kind)
    if spec.name in registered:
        return registered[spec.name]
    value: object = module
    for part in spec.name.split("."):
        value = getattr(value, part)
    return value


def _module(path: Path) -> ModuleType:
    content = path.read_bytes()
    name = f"swift_file_{_digest(content)[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    code = compile(content, str(path), "exec", dont_inherit=True)
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # dataclasses and pickle look their module up by name
    try:
        with registering_for(name):
            exec(code, module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _content(path: Path, written: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"the file {written} cannot be read: {error.strerror} ({path})."
        raise PluginError("missing-file", message, "paths are relative to the run file") from error


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _names_bound(content: bytes) -> set[str]:
    """Return what a C++ file binds; `*` when nothing of it can be seen, as where macros bind."""
    return set(bindings_in(content.decode(errors="replace"))) or {"*"}


def _names_in(path: Path, written: str) -> set[str]:
    """Return the names that a file binds at top level or registers; `*` among them when there may be more."""
    try:
        module = read_file(path)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f" in line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        message = f"{written} is not valid Python{line}: {getattr(error, 'msg', error)}."
        raise PluginError("broken-plugin", message, f"python -m py_compile {written}") from error
    calls = [node for node in ast.walk(module.tree) if isinstance(node, ast.Call)]
    return set(module.bindings).union({"*"} if module.is_open else (), *map(_registered_name, calls))


def _registered_name(call: ast.Call) -> set[str]:
    """Return the name in `register_loss("focal")` or `LOSS_MAPPING.register("focal")`."""
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if not name.startswith("register") or not call.args:
        return set()
    first = call.args[0]
    return {first.value} if isinstance(first, ast.Constant) and isinstance(first.value, str) else {"*"}
