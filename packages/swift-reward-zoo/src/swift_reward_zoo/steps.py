r"""Steps of an answer: what process rewards share.

Splitting loses nothing: the steps joined are the text, whatever it is. Wang et al., 2023, arXiv:2312.08935.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

__all__ = ["Style", "join_steps", "split_steps"]

Style = Literal["auto", "marked", "numbered", "paragraphs", "lines"]
"""Where a text is cut; `auto` takes the first of marked, numbered and paragraphs that finds two steps."""

_MARKED = re.compile(
    r"^[ \t>#*_]*(?:step[ \t]*\d+\b|\u6b65\u9aa4[ \t]*[\d\u4e00\u4e8c\u4e09\u56db\u4e94\u516d\u4e03\u516b\u4e5d\u5341]+"
    r"|\u7b2c[ \t]*[\d\u4e00\u4e8c\u4e09\u56db\u4e94\u516d\u4e03\u516b\u4e5d\u5341]+[ \t]*\u6b65)",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"^ {0,3}(?:\*\*)?(\d{1,4})(?:[.)](?=\s|\*)|[\u3001\uff0e])")
_FENCE = re.compile(r"^[ \t]*(```+|~~~+)")
_DISPLAY = re.compile(r"\$\$|(?<!\\)\\[\[\]]|\\begin\{|\\end\{")


def split_steps(text: str, style: Style = "auto") -> list[str]:
    """Return the steps of `text`, which joined are `text` again; a text without steps is one step, none is none.

    `marked` cuts before lines such as "Step 1:", numbered ones before "1." and its successors, `paragraphs` after blank
    lines, `lines` after each line that is not blank. Nothing is cut inside fenced code or display formulas. What stands
    before the first mark belongs to the first step.
    """
    lines = text.splitlines(keepends=True)
    free = _outside_blocks(lines)
    if style != "auto":
        return _cut(lines, _STARTS[style](lines, free))
    for name in ("marked", "numbered", "paragraphs"):
        steps = _cut(lines, _STARTS[name](lines, free))
        if len(steps) > 1:
            return steps
    return _cut(lines, [])


def join_steps(steps: Sequence[str]) -> str:
    """Return the text that was split into `steps`."""
    return "".join(steps)


def _outside_blocks(lines: Sequence[str]) -> list[bool]:
    """Say of each line whether it begins outside fenced code and display formulas."""
    if not any("`" in line or "~" in line or "$$" in line or "\\" in line for line in lines):
        return [True] * len(lines)
    free, fence, depth = [], "", 0
    for line in lines:
        found = _FENCE.match(line)
        free.append(not fence and depth == 0)
        if fence:
            fence = "" if found and found[1].startswith(fence) else fence
        elif found:
            fence = found[1]
        else:
            depth = _display_depth(line, depth)
    return free


def _display_depth(line: str, depth: int) -> int:
    """Return how many display formulas are open after `line`; `$$` opens one when none is."""
    for mark in _DISPLAY.findall(line):
        closes = mark in (r"\]", r"\end{") or (mark == "$$" and depth > 0)
        depth = max(depth - 1, 0) if closes else depth + 1
    return depth


def _marked(lines: Sequence[str], free: Sequence[bool]) -> list[int]:
    return [index for index, line in enumerate(lines) if free[index] and _MARKED.match(line)]


def _numbered(lines: Sequence[str], free: Sequence[bool]) -> list[int]:
    """Return the lines that count 1, 2, 3 and so on; other numbers are part of the text."""
    starts: list[int] = []
    for index, line in enumerate(lines):
        found = _NUMBERED.match(line) if free[index] else None
        if found and int(found[1]) == len(starts) + 1:
            starts.append(index)
    return starts


def _paragraphs(lines: Sequence[str], free: Sequence[bool]) -> list[int]:
    return [
        index
        for index, line in enumerate(lines)
        if free[index] and line.strip() and (index == 0 or (not lines[index - 1].strip() and free[index - 1]))
    ]


def _each_line(lines: Sequence[str], free: Sequence[bool]) -> list[int]:
    return [index for index, line in enumerate(lines) if free[index] and line.strip()]


_STARTS: dict[str, Callable[[Sequence[str], Sequence[bool]], list[int]]] = {
    "marked": _marked,
    "numbered": _numbered,
    "paragraphs": _paragraphs,
    "lines": _each_line,
}


def _cut(lines: Sequence[str], starts: Sequence[int]) -> list[str]:
    """Cut before the given lines; what stands before the first of them belongs to it."""
    bounds = [0, *starts[1:], len(lines)]
    return [step for begin, end in pairwise(bounds) if (step := "".join(lines[begin:end]))]
