"""Numbers as answers write them, read exactly; no float, no eval."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

_MAX_LENGTH = 1000
_MAX_POWER_BITS = 20_000
_MIN_DIGITS = 6
"""Significant digits from which a decimal may stand for a number that has no finite one."""

_DECIMAL = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d*)?|\d{1,3}(?: \d{3})+(?:\.\d+)?|\d+(?:\.\d*)?|\.\d+)"
_PLAIN = re.compile(rf"({_DECIMAL})(?:[eE]([-+]?\d{{1,3}}))?")
_SCIENTIFIC = re.compile(
    rf"({_DECIMAL}) ?(?:\\times|\\cdot|\*|x) ?10 ?\^ ?(?:\{{ ?([-+]?\d{{1,3}}) ?\}}|([-+]?\d{{1,3}}))"
)
_POWER = re.compile(r"(\d{1,9}) ?\^ ?(?:\{ ?(-?\d{1,5}) ?\}|(-?\d{1,5}))")
_SLASH = re.compile(rf"\(?({_DECIMAL})\)? ?/ ?\(?([-+]?{_DECIMAL})\)?")
_FRAC = re.compile(rf"\\frac ?(?:\{{ ?([-+]?{_DECIMAL}) ?\}}|(\d)) ?(?:\{{ ?([-+]?{_DECIMAL}) ?\}}|(\d))")
_REPEATING = re.compile(r"(\d*)\.(\d*)\\(?:overline|bar) ?\{ ?(\d+) ?\}")
_MIXED = re.compile(rf"(\d+) ?(?:and )?({_FRAC.pattern})|(\d+) (?:and )?(\d+) ?/ ?(\d+)")
_UNIT = re.compile(
    r"^(.*?[\d.}%)])\s+"
    r"((?:per |square |cubic |sq )?[A-Za-z][A-Za-z'-]+(?:[ /][A-Za-z]+){0,4}(?: ?\^ ?\{?\d\}?)?|[mgshLl])$"
)
_GLUED = re.compile(r"^(.*?[\d.])(mm|cm|km|kg|mg|ml|mL|ft|hrs?|mins?|mph|lbs?|oz)(?: ?\^ ?\{?\d\}?)?$")
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_NO_UNITS = frozenset(
    [
        "and",
        "or",
        "to",
        "times",
        "plus",
        "minus",
        "over",
        "mod",
        "pi",
        "sqrt",
        "sin",
        "cos",
        "tan",
        "log",
        "ln",
        "infinity",
    ]
)
_UNIT_NAMES = {
    "length": "mm millimeter,cm centimeter,m meter metre,km kilometer,inch in,ft foot feet,yd yard,mi mile",
    "weight": "mg milligram,g gram,kg kilogram,lb pound,oz ounce,ton",
    "time": "s sec second,min minute,h hr hour,day,week,month,year",
    "money": "dollar usd,cent,euro,yen",
}
_UNITS = {
    word: (quantity, index)
    for quantity, names in _UNIT_NAMES.items()
    for index, aliases in enumerate(names.split(","))
    for word in aliases.split()
}


@dataclass(frozen=True, slots=True)
class Number:
    """An exact value, and how it was written."""

    value: Fraction
    decimals: int | None = None
    """Digits after the point; None when it was not written as a decimal."""

    digits: int = 0
    """Significant digits of a decimal."""

    percent: bool = False
    unit: str = ""


def read_number(text: str) -> Number | None:
    """Return the number that `plain` text is: sign, currency, percent and unit are understood; None when it is none."""
    if not text or len(text) > _MAX_LENGTH:
        return None
    text, unit = _split_unit(text)
    factor = Fraction(_SCALES.get(unit, 1))
    percent = text.endswith("%") or unit in ("percent", "percentage points")
    body = text.rstrip("% ").strip() if percent else text
    sign, body = _split_sign(body)
    number = _read_unsigned(body)
    if number is None:
        return None
    unit = "" if percent or unit in _SCALES else unit
    return Number(sign * factor * number.value, number.decimals, number.digits, percent, unit)


def numbers_equal(expected: Number, given: Number) -> bool:
    """Say whether two numbers are the same.

    A per cent sign may be left out (`50%` is `50` and `0.5`). A decimal of six or more significant digits may stand for
    a fraction that has no finite one. There is no other tolerance. Units differ only when both are known and differ.
    """
    if _units_differ(expected.unit, given.unit):
        return False
    if expected.value == given.value or _rounds_to(expected, given.value) or _rounds_to(given, expected.value):
        return True
    if expected.percent == given.percent:
        return False
    share = expected if expected.percent else given
    other = given if expected.percent else expected
    return share.value / 100 == other.value


def rounds_to(decimal: Number, low: Fraction, high: Fraction) -> bool:
    """Say whether `decimal`, of enough digits, is what a value between `low` and `high` is rounded or cut to."""
    if decimal.decimals is None or decimal.digits < _MIN_DIGITS:
        return False
    last_place = Fraction(1, 10**decimal.decimals)
    return abs(decimal.value - low) < last_place and abs(decimal.value - high) < last_place


def _rounds_to(decimal: Number, value: Fraction) -> bool:
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest != 1 and rounds_to(decimal, value, value)


def _split_unit(text: str) -> tuple[str, str]:
    """Return the text before a unit, and the unit in lower case and singular; no unit is an empty string."""
    found = _UNIT.match(text) or _GLUED.match(text)
    if not found:
        return text, ""
    body, unit = found.groups()
    words = unit.lower().split()
    if words[0] in _NO_UNITS:
        return text, ""
    word = words[0].partition("/")[0]
    if word in _SCALES or word == "percent":
        return body, word
    return body, unit if len(unit) == 1 else " ".join(words)


def _units_differ(first: str, second: str) -> bool:
    known = [_UNITS.get(unit) or _UNITS.get(unit.rstrip("s")) or _UNITS.get(unit[:-2]) for unit in (first, second)]
    return None not in known and known[0] != known[1]


def _split_sign(text: str) -> tuple[int, str]:
    """Take sign and currency off the front."""
    sign = 1
    while text and text[0] in "+-$ ":
        sign = -sign if text[0] == "-" else sign
        text = text[1:]
    return sign, text


def _read_unsigned(text: str) -> Number | None:
    if found := _PLAIN.fullmatch(text):
        return _decimal(found[1], int(found[2] or 0))
    if found := _SCIENTIFIC.fullmatch(text):
        return _decimal(found[1], int(found[2] or found[3]))
    if found := _POWER.fullmatch(text):
        return _power(int(found[1]), int(found[2] or found[3]))
    if found := _SLASH.fullmatch(text):
        return _quotient(found[1], found[2])
    if found := _FRAC.fullmatch(text):
        return _quotient(found[1] or found[2], found[3] or found[4])
    if found := _REPEATING.fullmatch(text):
        return _repeating(found[1], found[2], found[3])
    if found := _MIXED.fullmatch(text):
        whole = int(found[1] or found[7])
        part = _quotient(found[3] or found[4] or found[8], found[5] or found[6] or found[9])
        return Number(whole + part.value) if part and 0 <= part.value < 1 else None
    return None


def _decimal(text: str, exponent: int) -> Number:
    text = text.replace(",", "").replace(" ", "")
    whole, point, fraction = text.partition(".")
    value = Fraction(int(whole or "0") * 10 ** len(fraction) + int(fraction or "0"), 10 ** len(fraction))
    value *= Fraction(10) ** exponent
    if not (point and fraction) or exponent:
        return Number(value)
    return Number(value, len(fraction), len((whole + fraction).lstrip("0")))


def _repeating(whole: str, fixed: str, period: str) -> Number:
    head = _decimal(f"{whole or 0}.{fixed}", 0).value
    return Number(head + Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(fixed)))


def _power(base: int, exponent: int) -> Number | None:
    if base.bit_length() * abs(exponent) > _MAX_POWER_BITS or (base == 0 and exponent <= 0):
        return None
    return Number(Fraction(base) ** exponent)


def _quotient(numerator: str, denominator: str) -> Number | None:
    (upper_sign, upper), (lower_sign, lower) = _split_sign(numerator), _split_sign(denominator)
    below = _decimal(lower, 0).value
    return Number(upper_sign * lower_sign * _decimal(upper, 0).value / below) if below else None
