"""The workers of `_symbolic`: parse LaTeX with math-verify, compare with SymPy; no code is evaluated.

Numbers are compared by 40 digits of relative precision, expressions at fixed points, equations by the constant ratio of
their sides' differences; there is no absolute tolerance.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from swift_reward_zoo.answer._number import Number, rounds_to

_POINTS = (Fraction(7, 5), Fraction(-11, 7), Fraction(23, 9), Fraction(-5, 13), Fraction(31, 8), Fraction(2, 17))
_DIGITS = 40


def make(options: None) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what answers a question; math-verify is loaded before the first one is timed."""
    logging.disable(logging.CRITICAL)
    import math_verify  # type: ignore[import-untyped]  # noqa: F401

    return _answer


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    """Return {"parsed": whether the expected one parses, "equal": whether the given one is the same}."""
    try:
        expected = _parse(question["expected"])
    except Exception:
        expected = None
    if expected is None:
        return {"parsed": False, "equal": False}
    if "given" not in question:
        return {"parsed": True, "equal": False}
    try:
        return {"parsed": True, "equal": _equal(expected, question)}
    except Exception:  # whatever SymPy cannot do is not equal
        return {"parsed": True, "equal": False}


def _parse(text: str) -> Any:
    """Return the SymPy object of an answer, or None."""
    from latex2sympy2_extended import NormalizationConfig  # type: ignore[import-untyped]
    from math_verify import LatexExtractionConfig, parse

    spelling = NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="all", equations=False
    )

    found = parse(
        rf"\boxed{{{text}}}",
        extraction_config=[LatexExtractionConfig(boxed_match_priority=0, normalization_config=spelling)],
        fallback_mode="no_fallback",
        parsing_timeout=None,
        raise_on_error=True,
    )
    return _with_constants(found[0]) if found and not isinstance(found[0], str) else None


def _with_constants(parsed: Any) -> Any:
    """Return `parsed` with i and e as constants, symbols told apart by name alone, and decimals exact."""
    import sympy  # type: ignore[import-untyped]

    constants = {"i": sympy.I, "e": sympy.E}
    renamed = {symbol: constants.get(symbol.name, sympy.Symbol(symbol.name)) for symbol in parsed.free_symbols}
    exact = {number: sympy.Rational(str(number)) for number in parsed.atoms(sympy.Float)}
    return parsed.subs(renamed | exact) if renamed or exact else parsed


def _equal(expected: Any, question: dict[str, Any]) -> bool:
    decimal = question.get("decimal")
    if decimal is not None:  # one side is a decimal: it must be the other one rounded
        other = expected if question["decimal_is"] == "given" else _parse(question["given"])
        return other is not None and _is_rounded(other, decimal)
    given = _parse(question["given"])
    return given is not None and _same(expected, given)


def _is_rounded(value: Any, decimal: dict[str, Any]) -> bool:
    """Say whether a decimal, {"value": [numerator, denominator], "decimals", "digits"}, stands for `value`."""
    exact = Fraction(*decimal["value"])
    real = value.evalf(60)
    if not real.is_real:
        return False
    written = Number(exact, decimal["decimals"], decimal["digits"])
    near = Fraction(str(real))
    return near == exact or rounds_to(written, near)


def _same(expected: Any, given: Any) -> bool:
    import sympy

    if isinstance(expected, sympy.MatrixBase) or isinstance(given, sympy.MatrixBase):
        return _same_matrix(expected, given)
    if isinstance(expected, sympy.Equality) and isinstance(given, sympy.Equality):
        return _ratio_is_constant(expected.lhs - expected.rhs, given.lhs - given.rhs, positive=False)
    if isinstance(expected, sympy.core.relational.Relational) and isinstance(given, sympy.core.relational.Relational):
        return _same_inequality(expected, given)
    if isinstance(expected, sympy.Expr) and isinstance(given, sympy.Expr):
        return _same_expression(expected, given)
    if isinstance(expected, sympy.Equality) and expected.lhs.is_Symbol and isinstance(given, sympy.Expr):
        return _same_expression(expected.rhs, given)
    if isinstance(given, sympy.Equality) and given.lhs.is_Symbol and isinstance(expected, sympy.Expr):
        return _same_expression(expected, given.rhs)
    return type(expected) is type(given) and bool(expected == given)


def _same_matrix(expected: Any, given: Any) -> bool:
    shapes = [getattr(side, "shape", None) for side in (expected, given)]
    if shapes[0] is None or shapes[0] != shapes[1]:
        return False
    return all(_same_expression(a, b) for a, b in zip(expected, given, strict=True))


def _same_inequality(expected: Any, given: Any) -> bool:
    if type(expected) is not type(given):
        given = given.reversed
    if type(expected) is not type(given):
        return False
    return _ratio_is_constant(expected.lhs - expected.rhs, given.lhs - given.rhs, positive=True)


def _same_expression(expected: Any, given: Any) -> bool:
    pairs = _values(expected, given)
    return bool(pairs) and all(_close(a, b) for a, b in pairs)


def _ratio_is_constant(first: Any, second: Any, *, positive: bool) -> bool:
    """Say whether `first = c * second` for a constant c that is not zero."""
    if first.free_symbols != second.free_symbols or not first.free_symbols:
        return False
    pairs = [(a, b) for a, b in _values(first, second) if a != 0 or b != 0]
    if len(pairs) < 2 or any(a == 0 or b == 0 for a, b in pairs):
        return False
    ratio = pairs[0][0] / pairs[0][1]
    return all(_close(a, ratio * b) for a, b in pairs) and (not positive or bool(ratio > 0))


def _values(first: Any, second: Any) -> list[tuple[Any, Any]]:
    """Return both values at fixed points where both are defined; one pair when there is no symbol."""
    import sympy

    symbols = sorted(first.free_symbols | second.free_symbols, key=str)
    pairs = []
    for start in range(len(_POINTS) if symbols else 1):
        point = {
            symbol: sympy.Rational(*_POINTS[(start + place) % len(_POINTS)].as_integer_ratio()) + place
            for place, symbol in enumerate(symbols)
        }
        values = [side.subs(point).doit().evalf(_DIGITS + 20) for side in (first, second)]
        if all(value.is_number and value.is_finite for value in values):
            pairs.append((values[0], values[1]))
        elif not symbols and values[0] == values[1]:
            pairs.append((values[0], values[1]))  # infinity
    enough = 3 if symbols else 1
    return pairs if len(pairs) >= enough else []


def _close(first: Any, second: Any) -> bool:
    """Say whether two numbers agree to 40 digits, relative to their size."""
    import sympy

    if first == second:
        return True
    size = max(abs(first), abs(second))
    return bool(abs(first - second) <= sympy.Float(10, 60) ** -_DIGITS * size)
