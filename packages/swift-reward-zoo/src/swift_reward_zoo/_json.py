"""JSON in a model's answer: where it is, and when two values are the same."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Hashable
from decimal import Decimal
from typing import Any

_MAX_DEPTH = 100
_MAX_LENGTH = 200_000
_FENCE = re.compile(r"^[ \t]*```(.*)$", re.MULTILINE)
_MARK = re.compile(r'\\.|["{}\[\]]', re.DOTALL)
_OPENS = {"}": "{", "]": "["}


class NoJSONError(ValueError):
    """The text holds no JSON value, or one that is broken, ambiguous or too deep."""


def find_json(text: str, *, exact: bool = True, whole: bool = False) -> Any:
    """Return the JSON value a text holds: the whole of it, else its last fenced block, else its last object or array.

    Numbers are `Decimal` where they are to be exact, else int and float. With `whole` only the first place will do.
    Objects that name a key twice, NaN, more than 100 levels and more than 200,000 characters are refused.

    Raises:
        NoJSONError: There is none.
    """
    stripped = text.strip()
    spans = _outermost(stripped)
    if whole or not spans or spans == [(0, len(stripped))]:
        return parse_json(stripped, exact=exact)
    start, end = _last_fenced(stripped) or spans[-1]
    return parse_json(stripped[start:end], exact=exact)


def parse_json(text: str, *, exact: bool = True) -> Any:
    """Return the value that a text is, read as strictly as `find_json` does."""
    _outermost(text)
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=Decimal if exact else None,
            parse_float=Decimal if exact else None,
            parse_constant=_refuse_constant,
        )
    except (ValueError, ArithmeticError) as error:
        raise NoJSONError(f"it is not JSON: {error}") from None


def canonical(value: Any, *, ignore_order: bool = False) -> Hashable:
    """Return a key that equal JSON values share: order of keys does not count, `1.0` is `1`, `true` is not `1`."""
    if isinstance(value, dict):
        return ("object", frozenset((key, canonical(item, ignore_order=ignore_order)) for key, item in value.items()))
    if isinstance(value, list):
        items = [canonical(item, ignore_order=ignore_order) for item in value]
        return ("bag", frozenset(Counter(items).items())) if ignore_order else ("array", tuple(items))
    if isinstance(value, (int, float, Decimal)) and not isinstance(value, bool):
        return ("number", _number_key(Decimal(str(value)) if isinstance(value, float) else Decimal(value)))
    return (type(value).__name__, value)


def _number_key(number: Decimal) -> Hashable:
    """Return sign, digits and exponent without trailing zeros: hashing a `Decimal` itself works its power out."""
    sign, digits, exponent = number.as_tuple()
    text = "".join(map(str, digits))
    kept = text.rstrip("0").lstrip("0")
    return (sign, kept, int(exponent) + len(text) - len(text.rstrip("0"))) if kept else 0


def _last_fenced(text: str) -> tuple[int, int] | None:
    """Return start and end of what stands in the last closed fence without a language, or with `json`."""
    fences = list(_FENCE.finditer(text))
    pairs = zip(fences[::2], fences[1::2], strict=False)
    inside = [(opened.end(), closed.start()) for opened, closed in pairs if opened[1].strip().lower() in ("", "json")]
    return inside[-1] if inside else None


def _outermost(text: str) -> list[tuple[int, int]]:
    """Return start and end of the objects and arrays that stand in no other one."""
    if len(text) > _MAX_LENGTH:
        raise NoJSONError(f"it is longer than {_MAX_LENGTH:,} characters")
    spans: list[tuple[int, int]] = []
    opened: list[tuple[int, str]] = []
    quoted = False
    for found in _MARK.finditer(text):
        mark = found.group()
        if mark == '"':
            quoted = not quoted if opened else False
        elif quoted or len(mark) > 1:
            continue
        elif mark in "{[":
            opened.append((found.start(), mark))
            if len(opened) > _MAX_DEPTH:
                raise NoJSONError(f"it is deeper than {_MAX_DEPTH} levels")
        elif opened and opened[-1][1] == _OPENS[mark]:
            start = opened.pop()[0]
            while spans and spans[-1][0] > start:
                spans.pop()
            spans.append((start, found.end()))
    return spans


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; one that names a key twice means two things."""
    named = dict(pairs)
    if len(named) < len(pairs):
        raise NoJSONError("it names a key twice")
    return named


def _refuse_constant(name: str) -> Any:
    raise NoJSONError(f"{name} is not JSON")
