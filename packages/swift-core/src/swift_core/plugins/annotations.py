"""From an annotation, as written in source, to a JSON schema (draft 7).

Read are bool, int, float, str, Path, None, Literal, list, tuple, set, dict with string keys, unions, Optional,
Annotated, aliases of those, and dataclasses. Anything else becomes the empty schema, which takes every value: it is
checked on the live object.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from swift_core.plugins.source import Found, Module, dotted_name, find

if TYPE_CHECKING:
    from collections.abc import Callable

Schema = dict[str, Any]

SCALARS: dict[str, Schema] = {
    "bool": {"type": "boolean"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "str": {"type": "string"},
    "Path": {"type": "string", "format": "path"},
    "None": {"type": "null"},
}
ARRAYS = frozenset({"list", "List", "Sequence", "Iterable", "Collection", "set", "Set", "frozenset", "FrozenSet"})
OBJECTS = frozenset({"dict", "Dict", "Mapping", "MutableMapping"})
_TUPLES = frozenset({"tuple", "Tuple"})
_WRAPPERS = frozenset({"Annotated", "Final", "ClassVar", "InitVar", "Required"})

Trail = frozenset[str]
"""Names that are being read; one that holds itself becomes the empty schema at its second turn."""


class Reader:
    """Reads annotations of one module."""

    def __init__(
        self, module: Module, dataclass_schema: Callable[[Found, Trail], Schema], trail: Trail = frozenset()
    ) -> None:
        """Read names in `module`; `dataclass_schema` turns a class that an annotation names into a schema."""
        self.module = module
        self.dataclass_schema = dataclass_schema
        self.trail = trail

    def schema(self, node: ast.expr | None) -> Schema:
        """Return the JSON schema of an annotation; empty when it cannot be read."""
        if node is None:
            return {}
        if isinstance(node, ast.Constant):
            return self._constant(node)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return self._union([node.left, node.right])
        if isinstance(node, ast.Subscript):
            return self._subscript(dotted_name(node.value).rpartition(".")[2], node.slice)
        name = dotted_name(node)
        return self._name(name) if name else {}

    def _constant(self, node: ast.Constant) -> Schema:
        if node.value is None:
            return dict(SCALARS["None"])
        if not isinstance(node.value, str):
            return {}
        quoted = unquoted(node)
        return {} if quoted is node else self.schema(quoted)

    def _name(self, name: str) -> Schema:
        found = find(self.module, name)
        last = name.rpartition(".")[2]
        if found is not None:
            return self._defined(found, f"{found.module.path}:{found.node.lineno}")
        if last in SCALARS:
            return dict(SCALARS[last])
        if last in ARRAYS | _TUPLES:
            return {"type": "array"}
        return {"type": "object"} if last in OBJECTS else {}

    def _defined(self, found: Found, place: str) -> Schema:
        if place in self.trail:
            return {}
        if isinstance(found.node, ast.ClassDef):
            return self.dataclass_schema(found, self.trail | {place})
        if isinstance(found.node, ast.expr):
            return Reader(found.module, self.dataclass_schema, self.trail | {place}).schema(found.node)
        return {}

    def _subscript(self, name: str, inner: ast.expr) -> Schema:
        arguments = inner.elts if isinstance(inner, ast.Tuple) else [inner]
        if name == "Literal":
            return _literal(arguments)
        if name == "Union":
            return self._union(arguments)
        if name == "Optional":
            return self._union([inner, ast.Constant(None)])
        if name in _WRAPPERS and arguments:
            return self.schema(arguments[0])
        if name in ARRAYS:
            return array_of(self.schema(inner))
        if name in _TUPLES:
            return self._tuple(arguments)
        if name in OBJECTS:
            return object_of(self.schema(arguments[-1])) if len(arguments) == 2 else {"type": "object"}
        return {}

    def _union(self, members: list[ast.expr]) -> Schema:
        return any_of([self.schema(member) for member in members])

    def _tuple(self, members: list[ast.expr]) -> Schema:
        if len(members) == 2 and isinstance(members[1], ast.Constant) and members[1].value is Ellipsis:
            return array_of(self.schema(members[0]))
        return tuple_of([self.schema(member) for member in members])


def unquoted(node: ast.expr) -> ast.expr:
    """Return the expression in a quoted annotation; the node itself when it is not quoted or not an expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            return ast.parse(node.value.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return node
    return node


def _literal(members: list[ast.expr]) -> Schema:
    try:
        values = [ast.literal_eval(member) for member in members]
    except ValueError:  # an enum member, or a Literal in a Literal
        return {}
    return {"enum": values} if all(value is None or isinstance(value, bool | int | str) for value in values) else {}


def array_of(items: Schema) -> Schema:
    """Return the schema of a list of `items`."""
    return {"type": "array", "items": items} if items else {"type": "array"}


def tuple_of(members: list[Schema]) -> Schema:
    """Return the schema of a list with one member per schema."""
    if not members:
        return {"type": "array", "maxItems": 0}
    return {"type": "array", "items": members, "minItems": len(members), "maxItems": len(members)}


def object_of(values: Schema) -> Schema:
    """Return the schema of a mapping from strings to `values`."""
    return {"type": "object", "additionalProperties": values} if values else {"type": "object"}


def any_of(members: list[Schema]) -> Schema:
    """Return the schema of a union, flat and without repeats; empty when one of them takes everything."""
    flat: list[Schema] = []
    for member in members:
        if not member:
            return {}
        for branch in member.get("anyOf", [member]):
            if branch not in flat:
                flat.append(branch)
    return flat[0] if len(flat) == 1 else {"anyOf": flat} if flat else {}
