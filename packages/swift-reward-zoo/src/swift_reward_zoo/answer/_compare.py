"""Whether two answers are the same: cheap and certain ways first, computer algebra last."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from swift_reward_zoo.answer._guard import is_balanced, is_small
from swift_reward_zoo.answer._number import Number, numbers_equal, read_number
from swift_reward_zoo.answer._plain import compact, plain
from swift_reward_zoo.answer._structure import Parts, as_interval, as_tuple, comparable, split_parts
from swift_reward_zoo.answer._symbolic import ask, latex

_FUNCTIONS = frozenset(
    [
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "log",
        "ln",
        "exp",
        "max",
        "min",
        "gcd",
        "lcm",
        "mod",
        "arcsin",
        "arccos",
        "arctan",
        "sinh",
        "cosh",
        "tanh",
    ]
)
_INTEGER = re.compile(r"-?[1-9][0-9]{0,14}|0")
_CHOICE = re.compile(r"[(\[]?([A-J])[)\]]?")
_CHOSEN = re.compile(r"[(\[]?([A-J])(?:[)\].:](?:\s(?!.*(?<![A-Za-z])[A-J](?![A-Za-z])).*)?)?")
_NAMED = re.compile(
    r"^(?:\(?(?:[A-Za-z](?:_\{?\w+\}?|\([a-z]\)|\(-?\d{1,4}\))?|\\[a-z]+)\)?|\(\s*[a-z](?:\s*,\s*[a-z]){1,3}\s*\)|m?\s*\\angle\s*[A-Z]{1,3})"
    r"\s*(?:=|\\in)\s*(?=[^=])"
)
_POINT = re.compile(r"^[ABD-OQ-Z]\s*(?=\([^()]*,[^()]*\)$)")
"""The name of a point before its coordinates; C(5, 2) and P(5, 2) are numbers."""

_BASED = re.compile(r"\(?([0-9]+|[0-9A-Fa-f]+(?=\)?_\{?16))\)?_\{?(\d+)\}?")
_LETTERS = re.compile(r"[a-z]{2,4}")
_MAX_NAMES = 3
_MAX_NESTED = 8
_QUANTITY = re.compile(r"^[A-Za-z](?:\s*[-+]?\s*[A-Za-z])*\s*=\s*(?=[^=])")
_ARTICLE = re.compile(r"^(?:the|an?)\s+", re.IGNORECASE)
_MAX_READ = 5000


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, read as far as that is cheap."""

    text: str
    """In `plain` spelling."""

    key: str
    """Without spaces: equal keys are equal answers."""

    number: Number | None
    parts: Parts | None
    is_words: bool
    """True for an answer in words, such as a name or a weekday."""


def read_given(text: str) -> Answer:
    """Return a model's answer; never fails."""
    if _INTEGER.fullmatch(text):  # most answers there are
        return Answer(text, text, Number(Fraction(int(text))), None, is_words=False)
    if len(text) > _MAX_READ:
        return Answer(text, text, None, None, is_words=True)
    spelled = _POINT.sub("", _first_of_equals(plain(text)))
    number = read_number(spelled)
    parts = None if number else split_parts(spelled)
    return Answer(spelled, compact(spelled), number, parts, _is_words(spelled))


@lru_cache(maxsize=4096)
def read_expected(text: str | None, timeout: float) -> Answer:
    """Return the expected answer.

    Raises:
        ValueError: There is none, or it is no number, no words and nothing that math-verify parses.
        WorkerFailure: Parsing it took longer than `timeout` seconds.
    """
    if not text:
        raise ValueError("it holds no final answer")
    answer = read_given(text)
    if not answer.key:
        raise ValueError("nothing is left of it without typesetting")
    if not is_balanced(answer.text):
        raise ValueError("its braces are not balanced")
    _check_parses(answer, timeout)
    return answer


def spelling(answer: Answer, depth: int = 0) -> str:
    """Return one spelling for answers that are cheaply known to be the same.

    Numbers by their exact value, lists and sets in one order, words without case; computer algebra is not asked.
    """
    found = _NAMED.match(answer.text)
    if found and depth < _MAX_NAMES:
        return spelling(read_given(answer.text[found.end() :]), depth + 1)
    if answer.number:
        return str(answer.number.value)
    if answer.parts and depth < _MAX_NESTED:
        items = [spelling(read_given(item), depth + 1) for item in answer.parts.items]
        items = list(dict.fromkeys(items)) if answer.parts.kind == "set" else items
        ordered = items if answer.parts.ordered else sorted(items)
        return f"{answer.parts.kind}: {', '.join(ordered)}"
    return _folded(answer.text) if answer.is_words else answer.key


def same_answer(expected: Answer, given: Answer, timeout: float, depth: int = 0) -> bool:
    """Say whether `given` is the expected answer; raise WorkerFailure after `timeout` seconds."""
    if expected.key == given.key:
        return True
    if expected.number and given.number:
        return numbers_equal(expected.number, given.number)
    if expected.is_words:
        if _folded(expected.text) == _folded(given.text):
            return True
        is_product = _LETTERS.fullmatch(expected.text) and not given.is_words
        return bool(is_product) and _same_symbolic(expected, given, timeout)
    bases = [_BASED.fullmatch(side.key) for side in (expected, given)]
    if bases[0] and bases[1]:
        return [base.upper() for base in bases[0].groups()] == [base.upper() for base in bases[1].groups()]
    choice = _CHOICE.fullmatch(expected.text)
    if choice:
        chosen = _CHOSEN.fullmatch(given.text)
        return chosen is not None and chosen[1] == choice[1]
    stripped = _without_name(expected, given) if depth < _MAX_NAMES else None
    if stripped is not None:
        return same_answer(*stripped, timeout, depth + 1)
    if expected.parts or given.parts:
        gold, answer = (side.parts or as_interval(side.text) for side in (expected, given))
        if gold and answer and "()" in (gold.kind, answer.kind):
            gold, answer = as_tuple(gold), as_tuple(answer)
        return _same_parts(gold, answer, timeout)
    return _same_symbolic(expected, given, timeout)


def _check_parses(answer: Answer, timeout: float) -> None:
    if answer.number or answer.is_words or _CHOICE.fullmatch(answer.text) or answer.text == r"\emptyset":
        return
    if answer.parts:
        for item in answer.parts.items:
            part = read_given(item)
            if not part.key:
                raise ValueError("a part of it is empty")
            _check_parses(part, timeout)
        return
    if re.fullmatch(r"[\d.:]+", answer.key):  # a time or a ratio: compared as written
        return
    if is_small(answer.text) and not _ask(answer.text, None, timeout)["parsed"]:
        raise ValueError("neither a number, nor words, nor LaTeX that math-verify reads")


def _same_parts(expected: Parts | None, given: Parts | None, timeout: float) -> bool:
    if expected is None or given is None or not comparable(expected, given):
        return False
    golds = [read_given(item) for item in expected.items]
    answers = [read_given(item) for item in given.items]
    if expected.kind == given.kind == "set":
        golds, answers = _each_once(golds), _each_once(answers)
    if len(golds) != len(answers):
        return False
    if expected.ordered:
        return all(same_answer(gold, answer, timeout) for gold, answer in zip(golds, answers, strict=True))
    for gold in golds:
        match = next((answer for answer in answers if same_answer(gold, answer, timeout)), None)
        if match is None:
            return False
        answers.remove(match)
    return True


def _each_once(answers: list[Answer]) -> list[Answer]:
    """Leave out what cheaply is one that came before."""
    return list({spelling(answer): answer for answer in answers}.values())


def _same_symbolic(expected: Answer, given: Answer, timeout: float) -> bool:
    if (
        (given.is_words and not _LETTERS.fullmatch(given.text))
        or not given.key
        or not is_small(expected.text)
        or not is_small(given.text)
    ):
        return False
    return bool(_ask(expected.text, given, timeout)["equal"]) if not _both_decimal(expected, given) else False


def _both_decimal(expected: Answer, given: Answer) -> bool:
    return expected.number is not None and given.number is not None


def _ask(expected: str, given: Answer | None, timeout: float) -> dict[str, bool]:
    question: dict[str, object] = {"expected": latex(expected)}
    if given is not None:
        question["given"] = latex(given.text)
        for side, number in (("given", given.number), ("expected", read_number(expected))):
            if number and number.decimals is not None:
                value = number.value.as_integer_ratio()
                question["decimal"] = {"value": value, "decimals": number.decimals, "digits": number.digits}
                question["decimal_is"] = side
    return ask(question, timeout)


def _first_of_equals(text: str) -> str:
    r"""Return the first of several spellings of one number (`1/2 = 0.5`, `1/3 \approx 0.33`), else `text`."""
    exact, approximate, _ = text.partition(r"\approx")
    sides = [side.strip() for side in exact.split("=")]
    numbers = [read_number(side) for side in sides] if approximate or len(sides) > 1 else []
    first = numbers[0] if numbers else None
    if first and all(number and numbers_equal(first, number) for number in numbers):
        return sides[0]
    return exact.strip() if approximate else text


def _without_name(expected: Answer, given: Answer) -> tuple[Answer, Answer] | None:
    """Take `x =` off the side that has it when the other has not, or off both when it is the same name; else None."""
    names = [_NAMED.match(side.text) for side in (expected, given)]
    if "=" not in expected.text and names[1] is None:
        names[1] = _QUANTITY.match(given.text)
    found = [name.group().replace(" ", "") for name in names if name]
    if not found or (len(found) == 2 and not _same_name(*found)):
        return None
    if any(side.parts and side.parts.kind == "list" and side.text.count("=") > 1 for side in (expected, given)):
        return None  # each of a list has its own
    if len(found) == 1 and "=" in (given if names[0] else expected).text:
        return None
    rest = [side.text[name.end() :] if name else side.text for side, name in zip((expected, given), names, strict=True)]
    return read_given(rest[0]), read_given(rest[1])


def _same_name(first: str, second: str) -> bool:
    """Say whether two names are one: `x` may be `x_1`, which is not `x_2`."""
    bare = [re.sub(r"_\{?\d+\}?", "", name) for name in (first, second)]
    return first == second or (bare[0] == bare[1] and bare != [first, second] and bare[0] in (first, second))


def _is_words(text: str) -> bool:
    words = re.findall(r"[^\W\d_]+", text)
    only_words = re.fullmatch(r"[^\W\d_]+(?:['\- ,&]+[^\W\d_]+)*", text) is not None
    return (
        only_words
        and any(len(word) >= 2 or ord(word) > 0x2E7F for word in words)
        and not _FUNCTIONS.intersection(words)
    )


def _folded(text: str) -> str:
    return re.sub(r"[\s\-]+", " ", _ARTICLE.sub("", text.strip("\"'() "))).casefold()
