"""What a class in source takes and declares, along its bases, as far as they can be read."""

from __future__ import annotations

import ast
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from swift_core.plugins.annotations import unquoted
from swift_core.plugins.docs import argument_help, docstring, text_under
from swift_core.plugins.source import NOT_FOLLOWED, Found, Module, dotted_name, find

if TYPE_CHECKING:
    from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef

_PLAIN_BASES = frozenset({"object", "Protocol", "Generic", "ABC"})
"""Bases that add nothing to a constructor."""

NO_LITERAL: Any = object()
"""Stands for a value that is computed, or is not there."""


class Parameter(NamedTuple):
    """One option as it stands in source."""

    name: str
    annotation: ast.expr | None
    module: Module
    """Where the annotation is to be read."""

    required: bool
    default: Any
    """Plain data, or NO_LITERAL."""

    help: str
    line: int


class ClassSource(NamedTuple):
    """A class with its bases, nearest first."""

    lineage: tuple[Found, ...]
    complete: bool
    """False when a base could not be read and may bring a constructor."""

    @classmethod
    def read(cls, found: Found) -> ClassSource:
        """Follow the bases of a class."""
        lineage: list[Found] = []
        complete = _climb(found, lineage)
        return cls(tuple(lineage), complete)

    def method(self, name: str) -> tuple[Found, Function] | None:
        """Return the nearest definition of a method, with the class that has it."""
        for found in self.lineage:
            for node in reversed(_body(found)):
                if isinstance(node, Function) and node.name == name:
                    return found, node
        return None

    def dataclass_fields(self) -> list[Parameter] | None:
        """Return the constructor's parameters when a dataclass gives them, else None."""
        for found in self.lineage:
            if any(isinstance(node, Function) and node.name in ("__init__", "__new__") for node in _body(found)):
                return None
            if is_dataclass(found):
                fields: dict[str, Parameter] = {}
                for base in reversed([base for base in self.lineage if is_dataclass(base)]):
                    fields |= {parameter.name: parameter for parameter in _own_fields(base)}
                return list(fields.values())
        return None

    def argument_helps(self) -> dict[str, str]:
        """Return what docstrings say of parameters, the nearest class that speaks of each."""
        helps: dict[str, str] = {}
        for found in reversed(self.lineage):
            helps |= argument_help(docstring(found.node)) if isinstance(found.node, ast.ClassDef) else {}
        return helps

    def declared(self) -> dict[str, Any]:
        """Return the literal class attributes that are not fields, the nearest definition of each."""
        values: dict[str, Any] = {}
        for found in reversed(self.lineage):
            for node in _body(found):
                values |= _declaration(found, node)
        return values


def _body(found: Found) -> list[ast.stmt]:
    return found.node.body if isinstance(found.node, ast.ClassDef) else []


def _climb(found: Found, lineage: list[Found]) -> bool:
    if found in lineage or not isinstance(found.node, ast.ClassDef):
        return isinstance(found.node, ast.ClassDef)
    lineage.append(found)
    complete = True
    for base in found.node.bases:
        name = dotted_name(base.value if isinstance(base, ast.Subscript) else base)
        if name.rpartition(".")[2] in _PLAIN_BASES:
            continue
        parent = find(found.module, name) if name else None
        complete &= parent is not None and _climb(parent, lineage)
    return complete


def is_dataclass(found: Found) -> bool:
    """Say whether the class carries `@dataclass` under any of its usual names."""
    decorators = found.node.decorator_list if isinstance(found.node, ast.ClassDef) else []
    return any(_decorator(found.module, node) == "dataclass" for node in decorators)


def has_unknown_decorator(found: Found) -> bool:
    """Say whether a decorator may change the constructor: one that is neither `@dataclass` nor `@register...`."""
    decorators = found.node.decorator_list if isinstance(found.node, ast.ClassDef) else []
    names = [_decorator(found.module, node) for node in decorators]
    return any(name not in ("dataclass", "final", "register", "runtime_checkable") for name in names)


def _decorator(module: Module, node: ast.expr) -> str:
    """Return the last word of a decorator, an imported name under its original; `register` for all of that family."""
    name = dotted_name(node.func if isinstance(node, ast.Call) else node)
    statement = module.bindings.get(name)
    if isinstance(statement, ast.ImportFrom):
        name = next(alias.name for alias in statement.names if (alias.asname or alias.name) == name)
    last = name.rpartition(".")[2]
    return "register" if last.startswith("register") else last


def _is_class_variable(module: Module, annotation: ast.expr) -> bool:
    node = unquoted(annotation)
    name = dotted_name(node.value if isinstance(node, ast.Subscript) else node)
    return name.rpartition(".")[2] == "ClassVar"


def _own_fields(found: Found) -> Iterator[Parameter]:
    body = _body(found)
    helps = argument_help(docstring(found.node)) if isinstance(found.node, ast.ClassDef) else {}
    for index, node in enumerate(body):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        name = node.target.id
        if _is_class_variable(found.module, node.annotation) or dotted_name(node.annotation).endswith("KW_ONLY"):
            continue
        settings = _field_settings(node.value)
        if settings is not None and _literal_keyword(settings, "init") is False:
            continue
        required, default = _field_default(found.module, node.value, settings)
        text = text_under(body, index) or helps.get(name, "")
        yield Parameter(name, node.annotation, found.module, required, default, text, node.lineno)


def _field_settings(value: ast.expr | None) -> dict[str, ast.expr] | None:
    """Return the keywords of `field(...)`, or None when the value is not such a call."""
    if isinstance(value, ast.Call) and dotted_name(value.func).rpartition(".")[2] == "field":
        return {keyword.arg: keyword.value for keyword in value.keywords if keyword.arg}
    return None


def _literal_keyword(settings: dict[str, ast.expr], name: str) -> Any:
    node = settings.get(name)
    return node.value if isinstance(node, ast.Constant) else None


def _field_default(module: Module, value: ast.expr | None, settings: dict[str, ast.expr] | None) -> tuple[bool, Any]:
    """Return whether a field is required, and its default."""
    if settings is None:
        return value is None, NO_LITERAL if value is None else literal(module, value)
    if "default" in settings:
        return False, literal(module, settings["default"])
    factory = settings.get("default_factory")
    return factory is None, NO_LITERAL if factory is None else _made_by(module, factory)


def _made_by(module: Module, factory: ast.expr) -> Any:
    empty: dict[str, Any] = {"list": [], "tuple": [], "set": [], "dict": {}}
    if isinstance(factory, ast.Lambda):
        return literal(module, factory.body)
    return empty.get(dotted_name(factory), NO_LITERAL)


def literal(module: Module, node: ast.expr | None, hops: int = 3) -> Any:
    """Return the plain data that an expression is: a literal, a module constant, or `Path("...")`; else NO_LITERAL."""
    if node is None:
        return NO_LITERAL
    if isinstance(node, ast.Call) and dotted_name(node.func).endswith("Path") and len(node.args) < 2:
        return literal(module, node.args[0]) if node.args else "."
    try:
        return plain(ast.literal_eval(node))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        pass
    name = dotted_name(node)
    found = find(module, name) if name and hops else None
    if found is None or not isinstance(found.node, ast.expr) or name.split(".")[0] in NOT_FOLLOWED:
        return NO_LITERAL
    return literal(found.module, found.node, hops - 1)


def plain(value: Any) -> Any:
    """Return `value` with tuples and sets as lists; NO_LITERAL when it is not JSON-able."""
    if isinstance(value, list | tuple | set | frozenset):
        members = [plain(member) for member in value]
        return NO_LITERAL if NO_LITERAL in members else members
    if isinstance(value, dict):
        mapping = {str(key): plain(member) for key, member in value.items()}
        return NO_LITERAL if NO_LITERAL in mapping.values() else mapping
    if isinstance(value, float) and not math.isfinite(value):
        return NO_LITERAL
    return value if value is None or isinstance(value, bool | int | float | str) else NO_LITERAL


def _declaration(found: Found, node: ast.stmt) -> dict[str, Any]:
    """Return the literal class attribute that a statement sets; a dataclass field is none."""
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        if is_dataclass(found) and not _is_class_variable(found.module, node.annotation):
            return {}
        names, value = [node.target.id], node.value
    elif isinstance(node, ast.Assign):
        names, value = [target.id for target in node.targets if isinstance(target, ast.Name)], node.value
    else:
        return {}
    data = literal(found.module, value)
    return {} if data is NO_LITERAL else {name: data for name in names if not name.startswith("_")}
