"""Which expressions are small enough to be worked out."""

from __future__ import annotations

import re

_MAX_LENGTH = 500
_MAX_DEPTH = 20
_MAX_FACTORIAL = 5000
_REFUSED = re.compile(
    r"\^[^{}()\s+\-]*\^"  # a tower: a^b^c
    r"|\d\s*\^\s*\{?\s*\d+\s*\}?\s*\)\s*\^(?!\s*\{?\s*\\frac|\s*\{?\s*\d\b)"  # a power of a power of a number
    r"|\^\s*\{[^{}]*(?:[\d)}]\s*\^|\^\s*\{?\d\d|!|\\cdot|\\times|\*)"  # an exponent that is itself worked out
    r"|\^\s*\{?\s*[-+]?\d{5,}"  # a large exponent
    r"|[)}]\s*\^\s*\{?\s*[-+]?\d{4,}"  # a large power of a group
    r"|[)}!]\s*!|\d{5,}\s*!"  # a factorial of something large or unknown
    r"|\\(?:prod|sum|int|iint|lim|pmod|bmod)(?![a-z])"
    r"|\\[dt]?binom[^a-z]*(?:\d{4,}|\d\s*\^)"
    r"|\d{400,}"
)
_MAX_TOWER = 2
_FACTORIAL = re.compile(r"(\d+)\s*!")


def is_small(text: str) -> bool:
    """Say whether a computer algebra system may be asked about `text`: no towers, huge powers, factorials or depths."""
    if len(text) > _MAX_LENGTH or _REFUSED.search(text) or not is_balanced(text):
        return False
    if any(int(number) > _MAX_FACTORIAL for number in _FACTORIAL.findall(text)):
        return False
    return _depth(text) <= _MAX_DEPTH and _tower(text) <= _MAX_TOWER


def is_balanced(text: str) -> bool:
    """Say whether the braces of `text` close what they open."""
    depth = 0
    for character in re.sub(r"\\[{}]", "", text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0


def _tower(text: str) -> int:
    """Return how many exponents stand upon each other at most."""
    groups: list[bool] = []
    highest, is_exponent = 0, False
    for character in text:
        if character == "{":
            groups.append(is_exponent)
        elif character == "}" and groups:
            groups.pop()
        is_exponent = character == "^" or (is_exponent and character == " ")
        highest = max(highest, sum(groups) + is_exponent)
    return highest


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        depth += {"{": 1, "(": 1, "}": -1, ")": -1}.get(character, 0)
        deepest = max(deepest, depth)
    return deepest
