"""Answers made of parts: lists, tuples, sets, intervals and unions."""

from __future__ import annotations

import re
from dataclasses import dataclass

_MAX_PARTS = 60
_SIGN = re.compile(r"(<=?|>=?|\\le(?![a-z])|\\ge(?![a-z]))")
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", r"\le": r"\ge", r"\ge": r"\le"}
_BUILDER = re.compile(
    r"(?:\\\{|\{) ?([a-zA-Z]) ?(?:\\in ?\\mathbb ?(?:\{ ?R ?\}|R) ?)?(?:\\mid|\||:) ?(.+?) ?(?:\\\}|\})"
)
_PAIRS = {"(": ")]", "[": "])", "{": "}"}


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of an answer, in order."""

    kind: str
    """`union`, `set`, `list`, or the two brackets of a tuple or interval, such as `(]`."""

    items: tuple[str, ...]

    @property
    def ordered(self) -> bool:
        """Say whether the order of the parts has a meaning."""
        return self.kind not in ("union", "set", "list")


def split_parts(text: str) -> Parts | None:
    r"""Return the parts of `plain` text, or None when it is one thing.

    `a, b`, `a and b` and `\pm a` are lists; `\{a, b\}` is a set; `(a, b)` and `[a, b)` keep their brackets.
    """
    text = text.replace(r"\{", "{ ").replace(r"\}", " }").strip() if r"\{" in text else text
    text = text.replace(";", ",") if "," not in text else text
    if _BUILDER.fullmatch(text):
        return as_interval(text)
    union = _split(text, r"\cup")
    if len(union) > 1:
        return Parts("union", tuple(union))
    if text[:1] in _PAIRS and text[-1:] in _PAIRS[text[0]] and _wraps(text):
        inner = _split(text[1:-1], ",")
        if text[0] == "{":
            return Parts("set", _with_signs(inner))
        return Parts(text[0] + text[-1], tuple(inner)) if len(inner) > 1 else None
    either = [as_interval(side.strip()) for side in text.split(" or ")]
    if len(either) > 1 and None not in either:
        return Parts("union", tuple(_as_text(interval) for interval in either if interval))
    items = _split(re.sub(r",?\s(?:and|or)\s", ", ", text), ",")
    items_signed = _with_signs(items)
    return Parts("list", items_signed) if len(items_signed) > 1 else None


def as_interval(text: str) -> Parts | None:
    r"""Return the interval that an inequality in one letter describes, or None: `1 < x \le 2` is `(1, 2]`."""
    built = _BUILDER.fullmatch(text)
    sides = [side.strip() for side in _SIGN.split(built[2] if built else text)]
    if len(sides) == 3 and not _is_letter(sides[0]):
        sides = [sides[2], _FLIPPED[sides[1]], sides[0]]
    if len(sides) == 5 and sides[1] in (">", ">=", r"\ge"):
        sides = [_FLIPPED.get(side, side) for side in reversed(sides)]
    letters, bounds = (sides[:1], sides[2:]) if len(sides) == 3 else (sides[2:3], sides[::4])
    if len(sides) not in (3, 5) or not _is_letter(letters[0]) or not all(map(_is_bound, bounds)):
        return None
    if len(sides) == 5:
        return _between(*sides)
    sign, bound = sides[1], sides[2]
    if sign in ("<", r"\le", "<="):
        return Parts("()" if sign == "<" else "(]", (r"-\infty", bound))
    return Parts("()" if sign == ">" else "[)", (bound, r"\infty"))


def _between(low: str, above: str, _: str, below: str, high: str) -> Parts | None:
    if ">" in below or below == r"\ge":
        return None
    return Parts(("(" if above == "<" else "[") + (")" if below == "<" else "]"), (low, high))


def _is_letter(text: str) -> bool:
    return len(text) == 1 and text.isascii() and text.isalpha()


def _is_bound(text: str) -> bool:
    """Say whether `text` is a bound: not empty, and no letter in it but those of commands."""
    return bool(text) and re.search(r"[A-Za-z=]", re.sub(r"\\[a-zA-Z]+", "", text)) is None


def as_tuple(parts: Parts) -> Parts:
    """Return the tuple that a list of named values is, `x = 3, y = 4` as `(3, 4)`; anything else as it is."""
    named = [re.fullmatch(r"([a-z]) ?= ?([^=]+)", item) for item in parts.items]
    values = {found[1]: found[2] for found in named if found}
    if parts.kind != "list" or len(values) != len(parts.items):
        return parts
    return Parts("()", tuple(values[name] for name in sorted(values)))


def _as_text(interval: Parts) -> str:
    """Return an interval in one spelling."""
    low, high = interval.items
    return f"{interval.kind[0]}{low}, {high}{interval.kind[1]}"


def comparable(expected: Parts, given: Parts) -> bool:
    """Say whether two answers are of one kind: a bare list may stand for a set, nothing else changes its kind."""
    loose = ("set", "list")
    same_kind = expected.kind == given.kind or (expected.kind in loose and given.kind in loose)
    counts = len(expected.items), len(given.items)
    repeats = expected.kind == given.kind == "set"  # which do not count
    return same_kind and max(counts) <= _MAX_PARTS and (repeats or counts[0] == counts[1])


def _split(text: str, separator: str) -> list[str]:
    """Split at `separator` outside brackets."""
    parts, depth, start, position = [], 0, 0, 0
    while position < len(text):
        character = text[position]
        depth += (character in "([{") - (character in ")]}")
        if depth == 0 and text.startswith(separator, position):
            parts.append(text[start:position].strip())
            position = start = position + len(separator)
        else:
            position += 1
    parts.append(text[start:].strip())
    return parts


def _wraps(text: str) -> bool:
    """Say whether the first bracket closes with the last one and not before."""
    depth = 0
    for position, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0:
            return position == len(text) - 1
    return False


def _with_signs(items: list[str]) -> tuple[str, ...]:
    r"""Write `\pm a` out as two parts; `a \pm b` as well."""
    found: list[str] = []
    for item in items:
        before, sign, after = item.partition(r"\pm")
        found.extend(
            [f"{before}+{after}" if before.strip() else after.strip(), f"{before}-{after.strip()}"] if sign else [item]
        )
    return tuple(found)
