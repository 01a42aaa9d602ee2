"""How many bytes an optimizer keeps, from the formulas its class declares; no torch.

    state_bytes: ClassVar[str] = "8 * size"                                    of any parameter
    matrix_state_bytes: ClassVar[str] = "4 * rank * (2 * longer + shorter)"    of matrices that it treats as such

A formula is arithmetic over `size`, `rows`, `columns`, `shorter`, `longer`, `width` (bytes of a trained weight), the
optimizer's options and other formulas of its class. Which matrices are meant follows from `target_modules`,
`exclude_modules` and `rank` where it has them.
"""

from __future__ import annotations

import ast
import math
import operator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from swift_core.contracts.handover import PartPlan

_OPERATORS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {"ceil": math.ceil, "min": min, "max": max}


ADAM_STATES = 2.0
"""Numbers that Adam keeps for one trained weight; for optimizers that declare neither a formula nor their number."""


def state_bytes(optimizer: PartPlan, shapes: Mapping[str, tuple[int, ...]], width: int) -> int:
    """Return the bytes that `optimizer` keeps for parameters of these names and shapes.

    Args:
        optimizer: The part; without formulas it keeps `states_per_weight` numbers, or two, as wide as the weights.
        shapes: Of the trained parameters.
        width: Bytes of a trained weight.
    """
    declared = optimizer.source.declared
    if not isinstance(declared.get("state_bytes"), str):
        return round(
            sum(map(math.prod, shapes.values())) * width * float(declared.get("states_per_weight", ADAM_STATES))
        )
    options = {option.name: option.default for option in optimizer.source.options} | dict(optimizer.options)
    options["width"] = width
    total = 0.0
    for name, shape in shapes.items():
        formula = "state_bytes"
        if "matrix_state_bytes" in declared and len(shape) == 2:
            is_chosen = _is_chosen(name, shape, options)
            other = "other_matrix_state_bytes" if "other_matrix_state_bytes" in declared else formula
            formula = "matrix_state_bytes" if is_chosen else other
        total += evaluate(str(declared[formula]), _Names(declared, options | _sizes(shape)))
    return round(total)


def evaluate(formula: str, names: Mapping[str, Any]) -> float:
    """Return the value of an arithmetic `formula`; raises ValueError for anything else in it."""
    return float(_value(ast.parse(formula.strip(), mode="eval").body, names))


class _Names(dict[str, Any]):
    """Options and sizes by name; formulas of the class are evaluated when they are read."""

    def __init__(self, declared: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.declared = declared

    def __missing__(self, name: str) -> float:
        if isinstance(self.declared.get(name), str):
            return evaluate(self.declared[name], self)
        raise ValueError(f"a formula of the optimizer names {name!r}, which is no size and no option")


def _sizes(shape: Sequence[int]) -> dict[str, int]:
    rows, columns = (shape[0], math.prod(shape[1:])) if shape else (1, 1)
    size = math.prod(shape)
    return {"size": size, "rows": rows, "columns": columns, "shorter": min(rows, columns), "longer": max(rows, columns)}


def _is_chosen(name: str, shape: Sequence[int], options: Mapping[str, Any]) -> bool:
    """Say whether the optimizer treats the matrix `name` as a matrix."""
    rank = options.get("rank")
    if isinstance(rank, int) and rank > min(shape):
        return False
    return _fits(name, options.get("target_modules", ("*",))) and not _fits(name, options.get("exclude_modules", ()))


def _fits(name: str, patterns: Any) -> bool:
    return any(fnmatchcase(name, p) if set(p) & set("*?[") else p in name for p in patterns or ())


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float, str)):
        return node.value
    if isinstance(node, ast.Name):
        return names[node.id]
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.left, names), _value(node.right, names))
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _OPERATORS:
        return _OPERATORS[type(node.ops[0])](_value(node.left, names), _value(node.comparators[0], names))
    if isinstance(node, ast.IfExp):
        return _value(node.body if _value(node.test, names) else node.orelse, names)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS:
        return _FUNCTIONS[node.func.id](*(_value(argument, names) for argument in node.args))
    raise ValueError(f"{ast.unparse(node)!r} is no arithmetic")
