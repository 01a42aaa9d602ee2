r"""Countdown: 1 when an expression over the given numbers, each used once, has the target as its value, else 0.

    score = 1 if value(expression) == target and numbers(expression) == numbers, as bags, else 0

The expression is the last `<answer>` or `\boxed{...}`; one `=` with the target after it may follow. It is parsed and
worked out here in exact fractions: integers, + - * / and parentheses, nothing else, and model text is never run. The
task: Pan et al., 2025, "TinyZero".
"""

from __future__ import annotations

import ast
import operator
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from swift_reward_zoo._batch import check_lengths, shown
from swift_reward_zoo.answer._extract import after_thinking, last_box, last_tag

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swift_core.plugin_api import InferRequest

_MAX_LENGTH = 500
_ALLOWED = re.compile(r"[0-9+\-*/() ]+")
_SIGNS = str.maketrans(
    {"\u00d7": "*", "\u22c5": "*", "\u00b7": "*", "\u00f7": "/", "\u2212": "-", "[": "(", "]": ")", "\n": " "}
)
_SPELLED = ((r"\times", "*"), (r"\cdot", "*"), (r"\div", "/"), (r"\left", ""), (r"\right", ""))
_OPERATIONS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Countdown:
    """Whether the expression reaches the target with each number used once: 1.0 or 0.0."""

    def __call__(
        self, infer_requests: Sequence[InferRequest], target: Sequence[int], nums: Sequence[Sequence[int]]
    ) -> list[float]:
        """Return 1.0 where the expression is right, else 0.0; the columns `target` and `nums` say what is asked for.

        Raises:
            ValueError: A target is no integer or numbers are no list of them, or there are not as many as responses.
        """
        check_lengths("countdown", infer_requests, {"target": target, "nums": nums})
        wanted = [_integer(row, "target", value) for row, value in enumerate(target)]
        given = [_integers(row, values) for row, values in enumerate(nums)]
        rows = zip(infer_requests, wanted, given, strict=True)
        return [float(_is_solved(request.response or "", goal, numbers)) for request, goal, numbers in rows]


def evaluate(expression: str) -> tuple[Fraction, list[int]]:
    """Return the exact value of an expression and the integers it is made of.

    Raises:
        ValueError: It is longer than 500 characters, holds anything but integers, + - * / and parentheses, or divides
            by zero.
    """
    if len(expression) > _MAX_LENGTH or not _ALLOWED.fullmatch(expression):
        raise ValueError("it is not made of integers, + - * / and parentheses alone")
    try:
        tree = ast.parse(expression.strip(), mode="eval")
        numbers: list[int] = []
        return _value(tree.body, numbers), numbers
    except (SyntaxError, MemoryError, RecursionError, ZeroDivisionError) as error:
        raise ValueError(f"it has no value: {error}") from None


def _value(node: ast.expr, numbers: list[int]) -> Fraction:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        numbers.append(node.value)
        return Fraction(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_value(node.operand, numbers)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        return _OPERATIONS[type(node.op)](_value(node.left, numbers), _value(node.right, numbers))
    raise ValueError(f"it holds {type(node).__name__}, which is no integer, + - * or /")


def _is_solved(response: str, target: int, numbers: list[int]) -> bool:
    text = after_thinking(response)
    answer = last_tag(text) or last_box(text)
    if answer is None or len(answer) > _MAX_LENGTH:
        return False
    for spelled, sign in _SPELLED:
        answer = answer.replace(spelled, sign)
    expression, equals, result = answer.translate(_SIGNS).strip().partition("=")
    try:
        value, used = evaluate(expression)
        told = evaluate(result)[0] if equals else value
    except ValueError:
        return False
    return value == told == target and sorted(used) == sorted(numbers)


def _integer(row: int, column: str, value: object) -> int:
    if not re.fullmatch(r"[-+]?\d{1,18}(?:\.0)?", str(value).strip()):
        raise ValueError(f"{column} of row {row} is no integer: {shown(value)}")
    return int(str(value).strip().removesuffix(".0"))


def _integers(row: int, values: object) -> list[int]:
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise ValueError(f"nums of row {row} is no list of integers: {shown(values)}")
    numbers = [_integer(row, "nums", value) for value in values]
    if not numbers:
        raise ValueError(f"nums of row {row} is empty")
    return numbers
