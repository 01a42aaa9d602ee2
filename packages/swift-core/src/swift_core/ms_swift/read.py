"""What a file written for ms-swift registers, seen in its source; its code does not run."""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.contracts.plugin import PluginSpec
from swift_core.errors import Place, Problem, SwiftError
from swift_core.ms_swift.names import (
    CALLBACK_LIST,
    DECORATORS,
    DIALECT,
    MODULES,
    PACKAGE,
    REGISTRIES,
    SUPPORTED,
    UNMAPPED,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Registration:
    """One plugin that a file registers."""

    kind: str
    name: str
    line: int
    value: ast.AST
    """What is registered: an expression, or the definition that carries the decorator."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something in a file that has no place here."""

    line: int
    message: str


@dataclass(slots=True)
class Reading:
    """What was seen in one file."""

    path: Path
    tree: ast.Module
    registrations: dict[tuple[str, str], Registration] = field(default_factory=dict)
    """(kind, name) -> where it is registered; the last one counts, as when the file runs."""

    left_out: list[LeftOut] = field(default_factory=list)

    def definition(self, node: ast.AST) -> Definition | None:
        """Return the class or function at top level that `node` names or calls."""
        if isinstance(node, Definition):
            return node
        if isinstance(node, ast.Call):
            node = node.func
        if not isinstance(node, ast.Name):
            return None
        found = [one for one in self.tree.body if isinstance(one, Definition) and one.name == node.id]
        return found[-1] if found else None

    def specs(self) -> list[PluginSpec]:
        """Return the plugins of the file."""
        return [
            PluginSpec(
                kind=kind,
                name=name,
                target=f"{self.path}:{name}",
                distribution="(file)",
                version="",
                origin="file",
                path=self.path,
                dialect=DIALECT,
            )
            for kind, name in self.registrations
        ]


def read(path: Path, written: str) -> Reading:
    """Return what the file at `path` registers.

    Args:
        path: The file.
        written: Its path as the run file has it, for messages.

    Raises:
        SwiftError: It cannot be read, or is not valid Python.
    """
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError as error:
        message = f"the file {written} cannot be read: {error.strerror} ({path})."
        raise SwiftError(Problem("missing-file", message, next_step="paths are relative to the run file")) from error
    except SyntaxError as error:
        place = Place(str(path), error.lineno or 1, error.offset or 1, (error.text or "").rstrip("\n"))
        message = f"{written} is not valid Python: {error.msg}."
        raise SwiftError(Problem("broken-plugin", message, place, f"python -m py_compile {written}")) from error
    except (ValueError, RecursionError, MemoryError) as error:
        message = f"{written} is not valid Python: {error}."
        raise SwiftError(Problem("broken-plugin", message, next_step=f"python -m py_compile {written}")) from error


@lru_cache(maxsize=64)
def _read(path: Path, changed: int) -> Reading:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd escape in a string is its author's concern
        tree = ast.parse(path.read_bytes(), filename=str(path))
    reading = Reading(path, tree)
    _Reader(reading).read()
    return reading


class _Reader:
    """Follows the names that a file has from ms-swift to what it does with them."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.bound: dict[str, str] = {}
        """Local name -> name in ms-swift."""
        self.packages: set[str] = set()
        """Local names of whole modules of ms-swift."""
        self.num_callbacks = 0

    def read(self) -> None:
        nodes = sorted(_run_nodes(self.reading.tree), key=lambda node: getattr(node, "lineno", 0))
        for node in nodes:
            if isinstance(node, ast.ImportFrom | ast.Import):
                self._import(node)
        for node in nodes:
            self._visit(node)
        self.reading.left_out.sort(key=lambda one: one.line)

    def _import(self, node: ast.ImportFrom | ast.Import) -> None:
        if isinstance(node, ast.Import):
            ours = [alias for alias in node.names if is_ms_swift(alias.name)]
            self.packages |= {alias.asname or PACKAGE for alias in ours}
            return
        if node.level or not is_ms_swift(node.module or ""):
            return
        for alias in node.names:
            if alias.name == "*":
                known = {*REGISTRIES, *DECORATORS, *UNMAPPED, *SUPPORTED, CALLBACK_LIST}
                self.bound |= {name: name for name in known}
            elif alias.name in MODULES and alias.name not in SUPPORTED:
                self.packages.add(alias.asname or alias.name)
            else:
                self.bound[alias.asname or alias.name] = alias.name
        known = {*REGISTRIES, *DECORATORS, *UNMAPPED, *SUPPORTED, *MODULES, CALLBACK_LIST, "*"}
        if absent := [alias.name for alias in node.names if alias.name not in known]:
            self._leave(node, f"{', '.join(absent)} of {node.module} is not here; what uses it fails when it is called")

    def _original(self, node: ast.AST) -> str:
        """Return the name in ms-swift of what an expression is; empty when it is nothing of ms-swift."""
        if isinstance(node, ast.Name):
            return self.bound.get(node.id, "")
        root = node
        while isinstance(root, ast.Attribute):
            root = root.value
        is_ours = isinstance(root, ast.Name) and root.id in self.packages
        return node.attr if is_ours and isinstance(node, ast.Attribute) else ""

    def _visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                self._assign(target, node.value)
        elif isinstance(node, ast.AugAssign) and self._original(node.target) == CALLBACK_LIST:
            self._callbacks(node, node.value)
        elif isinstance(node, ast.Call):
            self._call(node)
        if isinstance(node, Definition):
            for decorator in node.decorator_list:
                self._decorated(decorator, node)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Subscript) and (registry := self._original(target.value)):
            self._register(registry, target.slice, value, target)
        elif isinstance(target, ast.Name) and target.id in self.bound and self.bound[target.id] in REGISTRIES:
            self._leave(target, f"{target.id} is replaced; only what is added to it is taken over")

    def _call(self, node: ast.Call) -> None:
        function = node.func
        if self._original(function) in UNMAPPED:
            self._unmapped(self._original(function), node)
        if isinstance(function, ast.Call):  # LOSS_MAPPING.register("focal")(Focal)
            if node.args:
                self._decorated(function, node.args[0])
            return
        if not isinstance(function, ast.Attribute):
            return
        registry = self._original(function.value)
        if registry == CALLBACK_LIST and function.attr in ("append", "extend", "insert") and node.args:
            self._callbacks(node, node.args[-1])
        elif registry and function.attr == "setdefault" and len(node.args) == 2:
            self._register(registry, node.args[0], node.args[1], node)
        elif registry and function.attr == "update":
            self._update(registry, node)

    def _update(self, registry: str, node: ast.Call) -> None:
        for keyword in node.keywords:
            name: ast.expr | None = ast.Constant(keyword.arg) if keyword.arg else None
            self._register(registry, name, keyword.value, node)
        for argument in node.args:
            if isinstance(argument, ast.Dict):
                for key, value in zip(argument.keys, argument.values, strict=True):
                    self._register(registry, key, value, key or node)
            else:
                self._register(registry, None, argument, node)

    def _decorated(self, decorator: ast.expr, node: ast.AST) -> None:
        """Take `@register_loss_func("focal")` and `@LOSS_MAPPING.register("focal")`, above `node` or called with it."""
        if not isinstance(decorator, ast.Call):
            return
        function = decorator.func
        kind = DECORATORS.get(self._original(function), "")
        if isinstance(function, ast.Attribute) and function.attr == "register":
            kind = REGISTRIES.get(self._original(function.value), "")
        if kind:
            self._add(kind, decorator.args[0] if decorator.args else None, node, decorator)

    def _register(self, registry: str, name: ast.expr | None, value: ast.AST, node: ast.AST) -> None:
        if registry in UNMAPPED:
            self._unmapped(registry, node)
        elif registry in REGISTRIES:
            self._add(REGISTRIES[registry], name, value, node)

    def _add(self, kind: str, name: ast.expr | None, value: ast.AST, node: ast.AST) -> None:
        line = getattr(node, "lineno", 0)
        if not isinstance(name, ast.Constant) or not isinstance(name.value, str):
            self._leave(node, f"the {kind} is registered under a name that is computed; write the name itself")
            return
        before = self.reading.registrations.pop((kind, name.value), None)
        if before is not None and before.line != line:
            self._leave(node, f"the {kind} {name.value!r} is registered in line {before.line} too; this one counts")
        self.reading.registrations[kind, name.value] = Registration(kind, name.value, line, value)

    def _callbacks(self, node: ast.AST, value: ast.expr) -> None:
        added = value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
        for one in added:
            name = f"{CALLBACK_LIST}.{self.num_callbacks}"
            self.num_callbacks += 1
            line = getattr(node, "lineno", 0)
            self.reading.registrations["callback", name] = Registration("callback", name, line, one)

    def _unmapped(self, registry: str, node: ast.AST) -> None:
        self._leave(node, f"{registry} has no place here: {UNMAPPED[registry]}")

    def _leave(self, node: ast.AST, message: str) -> None:
        one = LeftOut(getattr(node, "lineno", 0), message)
        if one not in self.reading.left_out:
            self.reading.left_out.append(one)


def is_ms_swift(module: str) -> bool:
    """Say whether a module is the package of ms-swift or in it."""
    return module.split(".")[0] == PACKAGE


def _run_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes below `node` but those that only type checkers look at."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            for other in child.orelse:
                yield other
                yield from _run_nodes(other)
            continue
        yield child
        yield from _run_nodes(child)
