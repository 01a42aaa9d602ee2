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
_SQUARED = r"(?: ?\^ ?\{?-?\d\}?)?"
_SHORT = "(?:mm|cm|km|ft|mi|in|kg|lb|oz|mL|ml|hr|min|sec|[mgshL])"
_UNIT = re.compile(
    r"^(.*?[\d.}%)])\s+"
    rf"((?:per |square |cubic |sq\.? )?[A-Za-z][A-Za-z'-]+(?:[ /][A-Za-z]+){{0,4}}{_SQUARED}|[mgshLl]"
    rf"|{_SHORT}{_SQUARED}[ /]{_SHORT}{_SQUARED})$"
)
_RATE = re.compile(r"^(.*?\d) ?/ ?((?:second|minute|hour|day|week|month|year|person|mile|pound|dozen)s?)$")
_CHINESE_UNIT = re.compile(r"^(.*?[\d.}%)])\s*([\u4e00-\u9fff]{1,4})$")
_NO_CHINESE_UNIT = re.compile("[\u5de6\u53f3\u4ee5\u4e0a\u4e0b\u591a\u6216\u548c\u5230\u81f3]")  # about, above, or, to
_CURRENCY = re.compile(r"^(-?) ?(?:US\$|(?:USD|EUR|GBP|CNY|RMB)(?= ?[\d.]))")
_GLUED = re.compile(r"^(.*?[\d.])((?:mm|cm|km|kg|mg|ml|mL|ft|hrs?|mins?|mph|lbs?|oz)(?: ?\^ ?\{?\d\}?)?)$")
_UNIT_POWER = re.compile(r"(?:(square|sq\.?|cubic) )?([^\W\d_]+)(?: ?\^ ?\{?(\d)\}?)?")
_POWERS = {"square": 2, "sq": 2, "sq.": 2, "cubic": 3}
_TWO_LETTERS = frozenset(
    ["mm", "cm", "km", "mg", "kg", "ml", "ft", "mi", "in", "yd", "lb", "oz", "hr", "sq", "cl", "dl", "pt", "qt"]
)
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}
_SCALES |= {"\u767e": 100, "\u5343": 1000, "\u4e07": 10**4, "\u4ebf": 10**8}
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
    "length": "mm millimeter \u6beb\u7c73,cm centimeter \u5398\u7c73,m meter metre \u7c73,"
    "km kilometer \u5343\u7c73 \u516c\u91cc,inch in,ft foot feet,yd yard,mi mile",
    "weight": "mg milligram,g gram \u514b,kg kilogram \u5343\u514b \u516c\u65a4,lb pound,oz ounce,ton \u5428",
    "time": "s sec second \u79d2,min minute \u5206\u949f,h hr hour \u5c0f\u65f6,day \u5929,week \u5468,"
    "month \u4e2a\u6708,year \u5e74",
    "money": "dollar usd,cent,euro,yen,\u5143,\u89d2",
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
    text, unit = _split_unit(_CURRENCY.sub(r"\1$", text))
    unit = unit or ("$" if "$" in text[:3] else "")
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


def rounds_to(decimal: Number, value: Fraction) -> bool:
    """Say whether `decimal`, of enough digits, is what `value` is rounded or cut to."""
    if decimal.decimals is None or decimal.digits < _MIN_DIGITS:
        return False
    last_place = Fraction(1, 10**decimal.decimals)
    lacks = abs(value) - abs(decimal.value)
    return abs(value - decimal.value) <= last_place / 2 or (0 <= lacks < last_place and value * decimal.value > 0)


def _rounds_to(decimal: Number, value: Fraction) -> bool:
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest != 1 and rounds_to(decimal, value)


def _split_unit(text: str) -> tuple[str, str]:
    """Return the text before a unit, and the unit in lower case and singular; no unit is an empty string."""
    chinese = _CHINESE_UNIT.match(text)
    found = _UNIT.match(text) or _GLUED.match(text) or _RATE.match(text) or chinese
    if not found or (chinese and _NO_CHINESE_UNIT.search(chinese[2])):
        return text, ""
    body, unit = found.groups()
    words = unit.lower().split()
    word = words[0].partition("/")[0]
    if words[0] in _NO_UNITS or (
        words[0].isascii() and len(words[0]) == 2 and word not in _TWO_LETTERS
    ):  # `ab` is a product
        return text, ""
    if word in _SCALES or word == "percent":
        return body, word
    return body, unit if len(unit) == 1 else " ".join(words)


def _units_differ(first: str, second: str) -> bool:
    if "$" in (first, second):  # of any country; said without a word it is not the hundredth part
        other = second if first == "$" else first
        return other.rstrip("s") == "cent"
    known = [_known_unit(unit) for unit in (first, second)]
    return None not in known and known[0] != known[1]


def _known_unit(unit: str) -> tuple[str, int, int] | None:
    """Return what a unit measures, which of its units it is, and its power; None for one that is not known."""
    found = _UNIT_POWER.fullmatch(unit)
    if not found:
        return None
    name = found[2]
    known = _UNITS.get(name) or _UNITS.get(name.rstrip("s")) or _UNITS.get(name[:-2])
    return (*known, int(found[3] or _POWERS.get(found[1], 1))) if known else None


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
