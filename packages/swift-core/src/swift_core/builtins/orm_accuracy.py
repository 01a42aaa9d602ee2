"""Reward metrics: the mean score that the run file's rewards give to the model's answers to held-out prompts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swift_core.contracts.handover import RewardPart
    from swift_core.contracts.metric import Generations


class OrmAccuracy:
    """Mean score of the answers to held-out prompts under the rewards of `reward.orms`.

    With rewards that score 1 for right and 0 for wrong it is the accuracy. `orm_accuracy` is the mean over rewards by
    their weights, those of weight 0 left out; with several rewards `orm_accuracy_NAME` is the mean of each. Answers
    that a reward abstains from or fails on are not in its mean; `orm_abstained` and `orm_failed` count them when there
    are any.
    """

    eats: ClassVar[Literal["predictions", "generations"]] = "generations"

    def compute(self, generations: Generations, /) -> dict[str, float]:
        """Return the mean scores.

        Raises:
            ValueError: The run file names no reward, or a reward returned something else than a score per answer.
        """
        rewards = [part for part in generations.rewards if part.kind == "orm"]
        if not rewards:
            raise ValueError("orm_accuracy needs a reward: name one in reward.orms")
        scores = {part.name: _scores(part, generations) for part in rewards}
        means = {name: _mean(values) for name, values in scores.items()}
        figures = {"orm_accuracy": _weighted(rewards, means)}
        if len(means) > 1:
            figures |= {f"orm_accuracy_{name}": mean for name, mean in means.items()}
        failed = sum(len(getattr(values, "failures", ())) for values in scores.values())
        abstained = sum(_abstained(values) for values in scores.values())
        figures |= {f"orm_{what}": float(n) for what, n in (("abstained", abstained), ("failed", failed)) if n}
        return {name: value for name, value in figures.items() if not math.isnan(value)}


def _scores(part: RewardPart, generations: Generations) -> Sequence[float | None]:
    """Return one checked score per answer."""
    score: Callable[..., Sequence[float | None]] = part.score
    scores = score(generations.infer_requests, generations.ground_truths, **generations.columns)
    if len(scores) != len(generations.infer_requests):
        raise ValueError(
            f"reward {part.name!r} returned {len(scores)} scores for {len(generations.infer_requests)} answers"
        )
    for index, value in enumerate(scores):
        if value is not None and not math.isfinite(value):
            raise ValueError(f"reward {part.name!r} scored answer {index} as {value}; a score is a finite number")
    return scores


def _abstained(scores: Sequence[float | None]) -> int:
    """Return how many answers a reward said nothing about without failing."""
    not_said = {*getattr(scores, "failures", ()), *getattr(scores, "unasked", ())}
    return sum(score is None and row not in not_said for row, score in enumerate(scores))


def _mean(scores: Sequence[float | None]) -> float:
    """Return the mean of what was scored, NaN when nothing was."""
    given = [score for score in scores if score is not None]
    return sum(given) / len(given) if given else math.nan


def _weighted(rewards: Sequence[RewardPart], means: dict[str, float]) -> float:
    """Return the mean of the rewards' means by weight; all of weight 0 count alike; NaN when none scored."""
    told = [part for part in rewards if not math.isnan(means[part.name])]
    weights = [part.weight for part in told]
    if not any(weights):
        weights = [1.0] * len(told)
    weighted = sum(weight * means[part.name] for weight, part in zip(weights, told, strict=True))
    return weighted / sum(map(abs, weights)) if told else math.nan
