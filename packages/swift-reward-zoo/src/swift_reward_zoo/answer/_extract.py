"""Where the final answer of a text is.

The last box wins; without one, in this order: the last `<answer>` tag, what follows the last `####`, what follows the
last "answer is" or "Answer:", a response that is nothing but an expression, the last formula or number.
"""

from __future__ import annotations

import re

from swift_reward_zoo._words import UNSPACED

_BOX = re.compile(r"\\(?:boxed|fbox)\b")
_TAG_OPEN, _TAG_CLOSE = "<answer>", "</answer>"
_CUE = re.compile(  # one class of letters first: the others are passed over fast
    r"[Aa\u7b54\u9009](?:"
    r"(?<=[Aa])(?<!\w.)(?:(?:nswer|NSWER)[*_]*\s*(?:(?i:is|are|was)|[:=\uff1a])|(?P<short>\s*:))"
    r"|(?<=\u7b54)\u6848?\s*[\u662f\u4e3a:\uff1a]"
    r"|(?<=\u9009)\u62e9?\s*[:\uff1a]?\s*(?=[(\uff08]?[A-J](?![A-Za-z]))"
    r")\s*[:\uff1a]?(?:[*_]{1,2}(?=\s))?[ \t]*"
)
_FORMULA = re.compile(r"\$\$([^$]+)\$\$|(?<!\\)\$([^$\n]+)(?<!\\)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?"
_NUMBER = re.compile(
    rf"(?<![.)])(?<![^\W{UNSPACED}])[-+\u2212]?\s?(?:\\?[$\u20ac\u00a3])?(?<![\d.]){_DIGITS}(?:\s?/\s?\d+|(?::\d+){{1,2}})?\s?\\?%?"
)
_WORD = re.compile(rf"(?<![\\A-Za-z])[A-Za-z]{{3,}}|(?:^|\s)[A-Za-z]{{2,}}(?=[\s.,:]|$)|[{UNSPACED}]")
_HEDGED = re.compile(
    r"n't\b|\b(?:not|or|nor|either|neither|between|maybe|perhaps|(?:less|more|greater|fewer) than|at (?:most|least))\b"
    r"|\d\s+to\s+\d",
    re.IGNORECASE,
)
_LEFT_OPEN = re.compile(
    r"(?:[\d$)]\s*(?:or|\u6216|\u81f3)"
    r"|\b(?:not|n't|nor|than|at (?:most|least)|between\s+\S+\s+and|either\s+\S+\s+or))\s*$",
    re.IGNORECASE,
)
"""Before a number that is not said to be the answer."""

_OPTION = re.compile(r"\b(?:option|choice)\s+(?:is|:)\s*(?:[*$(]|\\text\{)*([A-J])(?![A-Za-z])(?!\W*(?:or|and)\b)")
_DENIED = re.compile(r"\u7b54\u6848?(?:\u5e76?\u4e0d\u662f|\u5e76\u975e|\u4e0d\u4e3a|\u4e0d\u7b49\u4e8e)")
_IT_IS = re.compile(
    r"(?:it|this|that|(?:the|our|their|his|her) [\w ]{1,40}?) (?:is|are|equals)\s+(\S.*)", re.IGNORECASE
)
_TAIL = 4000
"""Characters at the end that are searched when nothing marks the answer."""


def final_answer(text: str) -> str | None:
    """Return the final answer of a response as written, or None when it gives none."""
    text = after_thinking(text)
    if _BOX.search(text):
        return last_box(text)
    tagged = last_tag(text)
    if tagged is not None:
        text = tagged.strip()
    marked = after_hashes(text) or _after_cue(text[-_TAIL:])
    if marked:
        return marked
    if tagged is not None:
        said = _IT_IS.fullmatch(text)
        return (said[1] if said else text).strip() or None
    if _is_bare(text):
        return text.strip().removeprefix("=").strip() or None
    text = text[-_TAIL:]
    if _DENIED.search(text):
        return None
    chosen = _OPTION.findall(text)
    return chosen[-1] if chosen else _last_value(text)


def expected_answer(text: str) -> str | None:
    """Return the expected answer of a ground truth: what is marked, else a single line; None when there is none."""
    if _BOX.search(text):
        return last_box(text)
    marked = last_tag(text) or after_hashes(text)
    if marked is None and "\n" in text.strip():
        marked = _after_cue(text[-_TAIL:])
        return marked or None
    return (marked if marked is not None else text).strip() or None


def last_box(text: str) -> str | None:
    r"""Return the content of the last `\boxed{...}`, however nested; None when it is not closed or empty."""
    found = list(_BOX.finditer(text))
    rest = text[found[-1].end() :].lstrip() if found else ""
    if not rest.startswith("{"):
        bare = re.match(r"[^\s$.]+", rest)
        return bare.group() if bare else None
    depth = 0
    for position, character in enumerate(rest):
        escaped = position > 0 and rest[position - 1] == "\\"
        if character in "{}" and not escaped:
            depth += 1 if character == "{" else -1
        if depth == 0:
            return rest[1:position].strip() or None
    return None


def after_hashes(text: str) -> str | None:
    """Return the rest of the line after the last `####` (the mark of GSM8K), or None."""
    _, mark, rest = text.rpartition("####")
    return (rest.strip().split("\n", 1)[0].strip() or None) if mark else None


def stated_answer(text: str) -> str:
    """Return the content of the last `<answer>` tag, else what follows the thinking; stripped."""
    text = after_thinking(text)
    tagged = last_tag(text)
    return (text if tagged is None else tagged).strip()


def after_thinking(text: str) -> str:
    """Return what follows the thinking; nothing when it was not finished."""
    _, closed, rest = text.rpartition("</think>")
    if closed:
        return rest
    return "" if "<think>" in text else text


def last_tag(text: str) -> str | None:
    """Return the content of the last closed `<answer>` tag, or None."""
    head, closed, _ = text.rpartition(_TAG_CLOSE)
    _, opened, content = head.rpartition(_TAG_OPEN)
    return content if closed and opened else None


def _after_cue(text: str) -> str | None:
    """Return what follows the last "answer is" up to the end of its sentence, or None."""
    cue = next((cue for cue in reversed(list(_CUE.finditer(text))) if _begins(text, cue)), None)
    if cue is None:
        return None
    line = text[cue.end() :].lstrip().split("\n", 1)[0].strip()
    if line.endswith("**") and line.count("**") % 2:  # what is marked began before the cue
        line = line[:-2].strip()
    formula = _FORMULA.search(line)
    if formula and formula.start() < 3:
        return _content(formula)
    sentence = re.split(
        r"[.;](?:\s|$)|[\u3002\uff1b\uff0c]|,\s(?=[a-z]{2})|\s(?:because|since|so)\s", line, maxsplit=1
    )[0].strip()
    if _is_bare(sentence) or _HEDGED.search(sentence):
        return sentence or None
    number = _NUMBER.search(sentence)
    return number.group() if number else sentence or None


def _begins(text: str, cue: re.Match[str]) -> bool:
    """Say whether a cue is one: `A:` is, where nothing stands before it in its line."""
    return cue["short"] is None or not text[text.rfind("\n", 0, cue.start()) + 1 : cue.start()].strip()


def _is_bare(text: str) -> bool:
    """Say whether `text` is a short expression without prose."""
    text = text.strip()
    return len(text) <= 200 and "\n" not in text and not _WORD.search(text)


def _last_value(text: str) -> str | None:
    """Return the last formula or number, whichever ends later; a short text without either is its own answer."""
    formula = number = None
    for formula in _FORMULA.finditer(text):  # noqa: B007 - the last one is wanted
        pass
    for number in _NUMBER.finditer(text):  # noqa: B007
        pass
    if formula and (not number or number.start() < formula.end()):
        return None if _LEFT_OPEN.search(text[: formula.start()][-60:]) else _content(formula)
    if number:
        return None if _LEFT_OPEN.search(text[: number.start()][-60:]) else number.group()
    return text.strip() if len(text.strip()) <= 60 else None


def _content(formula: re.Match[str]) -> str:
    """Return what stands between the delimiters."""
    return next(group for group in formula.groups() if group is not None)
