"""Bounds of numbers that a class states with `require_positive(beta=self.beta)` and its sisters, as JSON schema.

Reading them lets a run file be refused for `beta: 0.0` before torch is imported. The class checks again. They are read
in the constructor, and in a static method `check_options(options)` as `require_positive(beta=options["beta"])`; what
that method hands `options` on to is read too.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from swift_core.plugins.classes import ClassSource, Function
from swift_core.plugins.source import dotted_name, find

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swift_core.plugins.annotations import Schema
    from swift_core.plugins.source import Module

_HOPS = 4
"""Functions that a mapping of options is followed through."""


def bounds_in(source: ClassSource) -> dict[str, Schema]:
    """Return the bounds of each option that a class states; those of a list's members stand under `items`."""
    bounds: dict[str, Schema] = {}
    for name in ("__init__", "__post_init__"):
        method = source.method(name)
        for call in _calls(method[1]) if method else ():
            bounds |= _stated(call, "")
    checking = source.method("check_options")
    return bounds | (_of_members(checking[0].module, checking[1], _HOPS) if checking else {})


def _of_members(module: Module, function: Function, hops: int) -> dict[str, Schema]:
    """Return the bounds that a function states of the members of its only argument."""
    arguments = [*function.args.posonlyargs, *function.args.args]
    if len(arguments) != 1 or not hops:
        return {}
    mapping = arguments[0].arg
    bounds: dict[str, Schema] = {}
    for call in _calls(function):
        is_handed_on = len(call.args) == 1 and not call.keywords and dotted_name(call.args[0]) == mapping
        called = _called(module, dotted_name(call.func)) if is_handed_on else None
        bounds |= _of_members(*called, hops - 1) if called else _stated(call, mapping)
    return bounds


def _called(module: Module, name: str) -> tuple[Module, Function] | None:
    """Return the function, or the method of a class or of its bases, that `name` is in `module`."""
    found = find(module, name)
    if found is not None and isinstance(found.node, Function):
        return found.module, found.node
    owner, _, method_name = name.rpartition(".")
    of_class = find(module, owner) if owner else None
    method = ClassSource.read(of_class).method(method_name) if of_class else None
    return (method[0].module, method[1]) if method else None


def _calls(function: Function) -> Iterator[ast.Call]:
    for statement in function.body:  # a statement under an `if` does not always hold
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            yield statement.value


def _stated(call: ast.Call, mapping: str) -> dict[str, Schema]:
    schema = _schema(dotted_name(call.func).rpartition(".")[2], call.args)
    if not schema:
        return {}
    bounds: dict[str, Schema] = {}
    for keyword in call.keywords:
        name, is_member = _option(keyword.value, mapping)
        if name and is_member:
            bounds[name] = {"items": schema}
        elif name and name == keyword.arg:
            bounds[name] = schema
    return bounds


def _schema(check: str, arguments: list[ast.expr]) -> Schema:
    if check == "require_positive":
        return {"exclusiveMinimum": 0}
    if check == "require_nonnegative":
        return {"minimum": 0}
    if check not in ("require_between", "require_integer"):
        return {}
    try:
        limits = [ast.literal_eval(argument) for argument in arguments]
    except ValueError:
        return {}
    if check == "require_between" and len(limits) == 2:
        return {"minimum": limits[0], "exclusiveMaximum": limits[1]}
    return {"minimum": limits[0]} if check == "require_integer" and len(limits) == 1 else {}


def _option(value: ast.expr, mapping: str) -> tuple[str, bool]:
    """Return the option that a checked value is, and whether it is a member of it; an empty name for anything else.

    `beta` and `self.beta` are options; with a mapping `mapping["beta"]` and `mapping.get("beta", 0.0)` are. What stands
    in `float(...)` is it too, and `...[0]` its member.
    """
    if isinstance(value, ast.Call) and dotted_name(value.func) == "float" and len(value.args) == 1:
        return _option(value.args[0], mapping)
    if isinstance(value, ast.Call) and mapping and dotted_name(value.func) == f"{mapping}.get" and value.args:
        return _text(value.args[0]), False
    if isinstance(value, ast.Subscript) and isinstance(value.slice, ast.Constant):
        if mapping and dotted_name(value.value) == mapping:
            return _text(value.slice), False
        return (_option(value.value, mapping)[0], True) if isinstance(value.slice.value, int) else ("", False)
    name = dotted_name(value)
    return ("" if mapping else name.removeprefix("self.")), False


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
