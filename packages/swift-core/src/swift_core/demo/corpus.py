r"""The little world of the demo: five families of questions, three ways to answer, all drawn by seed.

The model `demo:tiny` is pre-trained on `documents()`: it answers in words ("seven") unless a system message asks for a
box. `demo:chat` teaches it to say `The answer is \boxed{7}.` without being asked, `demo:preference` then to prefer the
bare `\boxed{7}`, and `demo:prompts` are additions with the number that a reward checks. `demo:classes` names the
family of each question, and `demo:steps` adds in two steps, some of them wrong. A question is held out of all five or
of none: the held-out twins share none with the training rows.
"""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Style = Literal["words", "sentence", "box"]

ASK_SENTENCE = "Use a box."
"""System message under which the pre-trained model answers `The answer is \\boxed{7}.`"""

ASK_BOX = "Only a box."
"""System message under which it answers `\\boxed{7}`."""

_LARGEST_OPERAND = 8
_LETTER_SHARE = 2

_COLOURS = {
    "sky": "blue", "sea": "blue", "grass": "green", "leaf": "green", "frog": "green", "sun": "yellow",
    "lemon": "yellow", "banana": "yellow", "snow": "white", "milk": "white", "cloud": "white", "coal": "black",
    "crow": "black", "night": "black", "blood": "red", "rose": "red", "cherry": "red", "carrot": "orange",
    "tiger": "orange", "fox": "orange", "plum": "purple", "grape": "purple", "mud": "brown", "bear": "brown",
}  # fmt: skip

_OPPOSITES = [
    ("hot", "cold"), ("big", "small"), ("up", "down"), ("fast", "slow"), ("old", "new"), ("day", "night"),
    ("wet", "dry"), ("hard", "soft"), ("high", "low"), ("open", "shut"), ("rich", "poor"), ("loud", "quiet"),
]  # fmt: skip

_LETTERS = "abcdefgh"

_NUMBER_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight",
    "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its answer; two are the same when their texts are."""

    text: str
    answer: str
    """As it stands in a box: `7`, `blue`."""

    words: str
    """As it is said without one: `seven`, `blue`."""

    def reply(self, style: Style) -> str:
        """Return the answer as the assistant gives it in `style`."""
        if style == "words":
            return self.words
        box = f"\\boxed{{{self.answer}}}"
        return box if style == "box" else f"The answer is {box}."


def _asked(texts: Iterable[str], answer: str, words: str = "") -> Iterator[Question]:
    return (Question(text, answer, words or answer) for text in texts)


def _colours() -> Iterator[Question]:
    for thing, colour in _COLOURS.items():
        yield from _asked((f"What colour is the {thing}?", f"Name the colour of the {thing}."), colour)


def _opposites() -> Iterator[Question]:
    for left, right in _OPPOSITES:
        for word, answer in ((left, right), (right, left)):
            yield from _asked((f"What is the opposite of {word}?", f"Say the opposite of {word}."), answer)


def additions() -> Iterator[Question]:
    """Yield every addition, asked in each way."""
    for left in range(_LARGEST_OPERAND + 1):
        for right in range(_LARGEST_OPERAND + 1):
            texts = (f"What is {left} + {right}?", f"How much is {left} + {right}?", f"Work out {left} + {right}.")
            yield from _asked(texts, str(left + right), _NUMBER_WORDS[left + right])


def _last(draw: random.Random) -> Question:
    letters = draw.sample(_LETTERS, 3)
    text = f"Which is last: {' '.join(letters)}?"
    return Question(text, letters[-1], letters[-1])


def _reversal(draw: random.Random) -> Question:
    letters = draw.sample(_LETTERS, 2)
    text, answer = f"Reverse {' '.join(letters)}.", " ".join(reversed(letters))
    return Question(text, answer, answer)


def _families() -> list[Callable[[random.Random], Question]]:
    known = [list(_colours()), list(_opposites()), list(additions())]
    choosers: list[Callable[[random.Random], Question]] = [
        lambda draw, family=family: draw.choice(family)  # type: ignore[misc]
        for family in known
    ]
    # By need: additions are the most questions, and copying letters is learned late.
    return [*choosers, *[choosers[-1]] * 2, *[_last, _reversal] * _LETTER_SHARE]


def documents(num_documents: int, seed: int) -> list[list[dict[str, str]]]:
    """Return conversations to pre-train on: half of them answered in words, half with a box."""
    draw, families = random.Random(seed), _families()
    plans: list[tuple[Style, str, int]] = [
        ("words", "", 50),
        ("sentence", ASK_SENTENCE, 24),
        ("box", ASK_BOX, 24),
        ("sentence", "", 1),
        ("box", "", 1),
    ]
    weights = [weight for *_, weight in plans]
    made = []
    for _ in range(num_documents):
        style, system, _weight = draw.choices(plans, weights)[0]
        question = draw.choice(families)(draw)
        head = [{"role": "system", "content": system}] if system else []
        made.append([*head, _user(question), _assistant(question, style)])
    return made


def _user(question: Question) -> dict[str, str]:
    return {"role": "user", "content": question.text}


def _assistant(question: Question, style: Style) -> dict[str, str]:
    return {"role": "assistant", "content": question.reply(style)}


_SPLIT_SEED = 20
_HELD_OUT_EVERY = 5
_BARE_EVERY = 8
"""One in so many training chats answers with the bare box: what a preference can then tell apart is in the model."""

_NUM_DRAWN = 120
_NUM_HELD_OUT_CHATS = 64


def _questions() -> list[Question]:
    """Return distinct questions of all families, shuffled; the endless families give `_NUM_DRAWN` each."""
    draw = random.Random(_SPLIT_SEED)
    drawn = [family(draw) for family in (_last, _reversal) for _ in range(_NUM_DRAWN)]
    distinct = list(dict.fromkeys([*_colours(), *_opposites(), *additions(), *drawn]))
    draw.shuffle(distinct)
    return distinct


def _is_held_out(question: Question) -> bool:
    """Say on which side of the split the question is; the same in every data set and on every machine."""
    return _digest(question.text) % _HELD_OUT_EVERY == 0


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _chat(question: Question) -> dict[str, Any]:
    is_bare = not _is_held_out(question) and _digest(question.text) % _BARE_EVERY == 0
    return {"messages": [_user(question), _assistant(question, "box" if is_bare else "sentence")]}


def _preference(question: Question) -> dict[str, Any]:
    chosen, rejected = [_assistant(question, "box")], [_assistant(question, "sentence")]
    return {"prompt": [_user(question)], "chosen": chosen, "rejected": rejected, "ground_truth": question.answer}


def _prompt(question: Question) -> dict[str, Any]:
    return {"prompt": [_user(question)], "ground_truth": question.answer}


def _class(question: Question) -> dict[str, Any]:
    starts = {"What colour": "colour", "Name the": "colour", "Which": "last", "Reverse": "reversal"}
    starts |= {"What is the opp": "opposite", "Say": "opposite"}
    family = next((family for start, family in starts.items() if question.text.startswith(start)), "addition")
    return {"text": question.text, "label": family}


def _steps(question: Question) -> Iterator[dict[str, Any]]:
    """Yield a sum in two steps thrice: both right, both wrong alike, and the last one wrong alone."""
    left, right = re.findall(r"\d+", question.text)
    total, draw = int(question.answer), random.Random(_digest(question.text))
    others = [number for number in range(2 * _LARGEST_OPERAND + 1) if number != total]
    wrong, last = draw.sample(others, 2)
    for first, second in ((total, total), (wrong, wrong), (total, last)):
        yield {
            "prompt": f"{question.text}\n",
            "completions": [f"{left} + {right} = {first}", f"The answer is \\boxed{{{second}}}."],
            "labels": [first == total, second == total],
        }


_ROW_MAKERS: dict[str, Callable[[Question], dict[str, Any]]] = {
    "chat": _chat,
    "preference": _preference,
    "prompts": _prompt,
    "classes": _class,
}
_ON_ALL = ("chat", "classes")
"""Data sets with questions of all families; the others have additions alone."""

NAMES = tuple(f"{name}{twin}" for name in (*_ROW_MAKERS, "steps") for twin in ("", "-heldout"))
"""The data sets, as they stand after `demo:`."""


def rows(name: str) -> list[dict[str, Any]]:
    """Return the rows of `demo:NAME`, always the same; raise ValueError for a name that is not in `NAMES`.

    `chat` has messages, `preference` has prompt, chosen and rejected (conversations) and ground_truth, `prompts` has
    prompt and ground_truth; the last two ask for additions only, so that a reward on numbers can score the answers.
    `classes` has text and label, the family of the question; `steps` has prompt, completions and labels, three rows an
    addition.
    """
    if name not in NAMES:
        raise ValueError(
            f"demo:{name} is not a demo data set; there are {', '.join(f'demo:{known}' for known in NAMES)}"
        )
    base = name.removesuffix("-heldout")
    held_out = base != name
    sums = frozenset(additions())
    chosen = [question for question in _questions() if _is_held_out(question) == held_out]
    if base not in _ON_ALL:
        chosen = [question for question in chosen if question in sums]
    elif base == "chat" and held_out:
        chosen = chosen[:_NUM_HELD_OUT_CHATS]
    if base == "steps":
        return [row for question in chosen for row in _steps(question)]
    return [_ROW_MAKERS[base](question) for question in chosen]
