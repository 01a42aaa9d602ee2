"""Bounds of numbers that a constructor states with `require_positive(beta=self.beta)` and its sisters, as JSON schema.

Reading them lets a run file be refused for `beta: 0.0` before torch is imported. The constructor checks again.
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from swift_core.plugins.source import dotted_name

if TYPE_CHECKING:
    from swift_core.plugins.annotations import Schema
    from swift_core.plugins.classes import ClassSource


def bounds_in(source: ClassSource) -> dict[str, Schema]:
    """Return the bounds of each option that the constructor of a class states."""
    bounds: dict[str, Schema] = {}
    for name in ("__init__", "__post_init__"):
        method = source.method(name)
        for statement in method[1].body if method else []:  # a statement under an `if` does not always hold
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                bounds |= _stated(statement.value)
    return bounds


def _stated(call: ast.Call) -> dict[str, Schema]:
    schema = _schema(dotted_name(call.func).rpartition(".")[2], call.args)
    if not schema:
        return {}
    return {keyword.arg: schema for keyword in call.keywords if keyword.arg and _is_option(keyword.value, keyword.arg)}


def _schema(check: str, arguments: list[ast.expr]) -> Schema:
    if check == "require_positive":
        return {"exclusiveMinimum": 0}
    if check == "require_nonnegative":
        return {"minimum": 0}
    if check == "require_between" and len(arguments) == 2:
        try:
            low, high = (ast.literal_eval(argument) for argument in arguments)
        except ValueError:
            return {}
        return {"minimum": low, "exclusiveMaximum": high}
    return {}


def _is_option(value: ast.expr, name: str) -> bool:
    """Say whether the checked value is the option itself: `beta=beta` or `beta=self.beta`."""
    return dotted_name(value) in (name, f"self.{name}")
