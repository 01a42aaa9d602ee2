r"""Multiple choice: 1 when the letter of the answer is the expected one, else 0.

    score = 1 if letters of the answer == letters of the ground truth else 0

The answer is, in this order: the last `\boxed{...}`, the last `<answer>`, what follows the last "answer is", "Answer:"
or the Chinese for it, the only letter that a line begins with (`B`, `(B)`, `B. text`). Two letters where one is asked
for, and "A or B", are wrong. The task format of MMLU: Hendrycks et al., 2020, arXiv:2009.03300.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from swift_core.plugin_api import require_between
from swift_reward_zoo._batch import check_lengths, shown, truth_text
from swift_reward_zoo.answer._extract import after_thinking, last_box, last_tag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.plugin_api import InferRequest

_ANSWER = r"[Ss]?\b(?:[^.:\n]{0,40}?\b(?:is|are|IS|ARE)\b|\s?[:\uff1a])"
_OPTION = r"(?: is\b|\s?[:\uff1a])"
_CUE = re.compile(  # each alternative begins with a letter, which makes the search quick
    "|".join(
        [f"{word}{_ANSWER}" for word in ("answer", "Answer", "ANSWER")]
        + [f"{word}{_OPTION}" for word in ("choice", "Choice", "option", "Option")]
        + [r"\u7b54\u6848[\u662f\u4e3a]?", r"\u9009(?!\u9879)\u62e9?"]  # "the answer is", "choose" in Chinese
    )
)
_TYPESETTING = re.compile(r"\\(?:text(?:bf|rm)?|mathrm|mathbf|boxed)\b|\*\*|[$`{}]")
_LEAD = re.compile(
    r"(?:[\s:\uff1a]|(?:the|option|choice|answer|letter|is|clearly|therefore|thus|definitely|likely|probably)\b"
    r"|\u9009\u9879)*",
    re.IGNORECASE,
)
_NEXT = r"(?:\s?(?:,|&|\u3001|\u548c|,?\s?\band\b)\s?(?=[(\[]?(?!I\s[a-z])[A-Z]\b))?"
_LETTER = re.compile(rf"[(\uff08\[]?([A-Z])(?![A-Za-z0-9_'\u2019])[)\uff09\]]?{_NEXT}")
_ALTERNATIVE = re.compile(r"[\s,(]*(?:/|or\b|\u6216)", re.IGNORECASE)
_LINE = re.compile(r"^[ \t]*(?:\(([A-Z])\)|\uff08([A-Z])\uff09|([A-Z])(?:[).:\uff1a\u3001]|[ \t]*$))", re.MULTILINE)
_TAIL = 4000
"""Characters at the end that are searched when nothing marks the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Whether the chosen letter is the expected one: 1.0 or 0.0."""

    num_choices: int = 10
    """How many letters there are, from A, in [2, 26]; others are no answer."""

    def __post_init__(self) -> None:
        """Check the options."""
        require_between(2, 27, num_choices=self.num_choices)

    def __call__(self, infer_requests: Sequence[InferRequest], ground_truths: Sequence[str | None]) -> list[float]:
        """Return 1.0 where the letter is the expected one, else 0.0; a response that chooses none scores 0.0.

        Raises:
            ValueError: A ground truth is no choice (`B`, `(B)`, `B. text`, `AC`) or there are not as many as responses.
        """
        check_lengths("choice", infer_requests, {"ground_truths": ground_truths})
        golds = [self._expected(row, truth) for row, truth in enumerate(ground_truths)]
        return [
            float(self._known(chosen(request.response or "")) == gold)
            for request, gold in zip(infer_requests, golds, strict=True)
        ]

    def extract(self, response: str) -> str | None:
        """Return the chosen letters in alphabetical order; None where none is chosen."""
        return "".join(sorted(self._known(chosen(response)))) or None

    def read_truth(self, truth: object) -> str:
        """Return the letters of a ground truth; raise ValueError when it is no choice."""
        return "".join(sorted(self._expected(0, truth)))

    def _known(self, letters: frozenset[str]) -> frozenset[str]:
        """Return the letters when all of them are choices, else none."""
        return letters if all(ord(letter) - ord("A") < self.num_choices for letter in letters) else frozenset()

    def _expected(self, row: int, truth: object) -> frozenset[str]:
        text = truth_text(row, truth).strip()
        text = text.upper() if len(text) == 1 else text
        together = re.fullmatch("[A-Z]{1,10}", text) and frozenset(text)
        letters = self._known(together or leading(last_box(text) or text))
        if not letters:
            last = chr(ord("A") + self.num_choices - 1)
            raise ValueError(f"ground truth of row {row} is none of the choices A to {last}: {shown(truth)}")
        return letters


def chosen(response: str) -> frozenset[str]:
    """Return the letters that a response chooses; empty for none, and where it leaves the choice open."""
    text = after_thinking(response)
    marked = last_box(text) or "" if "\\boxed" in text else last_tag(text)
    if marked is not None:
        return leading(marked.upper() if len(marked.strip()) == 1 else marked)
    tail = _TYPESETTING.sub("", text[-_TAIL:])
    cues = list(_CUE.finditer(tail))
    if cues:
        return leading(tail[cues[-1].end() :])
    begun = frozenset(letter for groups in _LINE.findall(tail) for letter in groups if letter)
    return begun if len(begun) == 1 else frozenset()


def leading(text: str) -> frozenset[str]:
    """Return the letters that a text begins with; none when others are offered beside them."""
    plain = _TYPESETTING.sub("", text[:_TAIL])
    lead = _LEAD.match(plain)
    position = lead.end() if lead else 0
    letters = set()
    while found := _LETTER.match(plain, position):
        letters.add(found[1])
        position = found.end()
    return frozenset() if _ALTERNATIVE.match(plain, position) else frozenset(letters)
