"""Kept answers as rows of data: what stages `sft` and `dpo` read as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from swift_core.sampling.choose import SELECTORS, Candidate, distinct, worst_of_n

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Keep = Literal["best", "pairs", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is kept of the answers to a prompt."""

    keep: Keep = "best"
    select: str = "best_of_n"
    threshold: float | None = None
    """Smallest reward of a kept answer; of a pair, the rejected one lies below it. None keeps by order alone."""


def rows_of(drawn: Mapping[str, Any], choice: Choice) -> list[dict[str, Any]]:
    """Return the rows that one prompt gives: none, one, or with `keep: all` one for each different answer."""
    candidates = candidates_of(drawn)
    if choice.keep == "all":
        return [
            _answered(drawn["prompt"], drawn["answers"][index]) | _told(drawn["answers"][index])
            for index in distinct(candidates)
            if _reaches(candidates[index].reward, choice.threshold)
        ]
    # Votes count every answer, so that it is chosen among all of them.
    chosen = SELECTORS[choice.select](candidates)
    if chosen is None:
        return []
    best = candidates[chosen]
    if not _reaches(best.reward, choice.threshold):
        return []
    if choice.keep == "best":
        return [_answered(drawn["prompt"], drawn["answers"][chosen]) | {"reward": best.reward}]
    return _pair(drawn, best, drawn["answers"][chosen], choice)


def candidates_of(drawn: Mapping[str, Any]) -> list[Candidate]:
    """Return the answers of one line of a store."""
    return [
        Candidate(answer["text"], answer["reward"], answer["key"], answer["finished"]) for answer in drawn["answers"]
    ]


def _pair(drawn: Mapping[str, Any], best: Candidate, chosen: Mapping[str, Any], choice: Choice) -> list[dict[str, Any]]:
    """Return `chosen` against the worst of the answers, if there is a worse one."""
    candidates, prompt = candidates_of(drawn), drawn["prompt"]
    kept = distinct(candidates)
    index = worst_of_n([candidates[place] for place in kept])
    if index is None or best.reward is None:
        return []
    worst = candidates[kept[index]]
    assert worst.reward is not None  # worst_of_n looks at answers with a reward only
    if not worst.reward < (best.reward if choice.threshold is None else choice.threshold):
        return []
    margin = best.reward - worst.reward
    if isinstance(prompt, str):
        return [{"prompt": prompt, "chosen": best.text, "rejected": worst.text, "margin": margin}]
    better, worse = _turns(chosen), _turns(drawn["answers"][kept[index]])
    shared = _num_shared(better, worse)
    sides = {"chosen": better[shared:], "rejected": worse[shared:]}
    return [{"prompt": [*prompt, *better[:shared]], **sides, "margin": margin}]


def _num_shared(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> int:
    """Return how many turns both answers begin with, so that a turn of the model is left of each to begin with."""
    common = next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    own = [place for place in range(common + 1) if all(_is_own(side, place) for side in (one, other))]
    return own[-1]


def _is_own(turns: Sequence[Mapping[str, Any]], place: int) -> bool:
    return place < len(turns) and turns[place]["role"] == "assistant"


def _reaches(reward: float | None, threshold: float | None) -> bool:
    return threshold is None or (reward is not None and reward >= threshold)


def _told(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of an answer, for whoever looks through all of them."""
    return {name: answer[name] for name in ("reward", "rewards", "steps", "finished") if name in answer}


def _answered(prompt: Any, answer: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(prompt, str):
        return {"prompt": prompt, "completion": answer["text"]}
    return {"messages": [*prompt, *_turns(answer)]}


def _turns(answer: Mapping[str, Any]) -> list[Any]:
    """Return the turns of an answer, the model's and those of others."""
    return list(answer.get("turns", [_turn(answer["text"])]))


def _turn(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}
