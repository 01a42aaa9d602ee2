"""Whether two runs, or two ranks of one run, use the same plugins: by the bytes of their code and by their options."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from swift_core.plugins.cpp_source import is_cpp, sources_of
from swift_core.plugins.source import find_module

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from swift_core.contracts.plugin import PluginSpec

_CODE = frozenset({".py", ".so", ".pyd", ".dylib", ".dll", ".cpp", ".hpp", ".cu", ".json", ".toml"})
"""Endings of files that decide what a package does; caches and documentation do not."""


def content_hash(spec: PluginSpec) -> str:
    """Return the SHA-256 of a plugin's code: of its file, or of every code file of the package that it is in.

    It depends on names and bytes only, not on where the package is installed. Empty when there is no file to read, as
    for a plugin registered in a notebook.
    """
    root = spec.path or _root(spec.target)
    if root is None:
        return ""
    if is_cpp(root) and root.is_file():
        return hashlib.sha256(b"".join(file.read_bytes() for file in sources_of(root))).hexdigest()
    if root.is_file():
        return hashlib.sha256(root.read_bytes()).hexdigest()
    total = hashlib.sha256()
    for file in sorted(path for path in root.rglob("*") if path.suffix in _CODE and path.is_file()):
        total.update(file.relative_to(root).as_posix().encode() + b"\0")
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def _root(target: str) -> Path | None:
    """Return the folder of the outermost package with files in `module:attribute`, or the file of a lone module."""
    words = target.partition(":")[0].split(".")
    found = (find_module(".".join(words[:length])) for length in range(1, len(words) + 1))
    path = next((path for path in found if path), None)  # a namespace package has no file of its own
    return path.parent if path and path.stem == "__init__" else path


def digest(parts: Iterable[tuple[PluginSpec, Mapping[str, Any]]]) -> str:
    """Return one SHA-256 over plugins in their order, each with its kind, name, wheel, version, code and options.

    Every rank computes it from the plan it was given and the code it sees; ranks that differ must not train together.
    """
    total = hashlib.sha256()
    for spec, options in parts:
        facts = [spec.kind, spec.qualified, spec.version, content_hash(spec), options]
        total.update(json.dumps(facts, sort_keys=True, default=str).encode() + b"\n")
    return total.hexdigest()
