"""Answers with what rewards say of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from swift_core.contracts.reward import InferRequest
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swift_core.contracts.data import PromptRow, TextEncoder
    from swift_core.contracts.engine import Rollout
    from swift_core.contracts.handover import RewardPart, RunPlan


@dataclass(slots=True)
class Sample:
    """One answer with its rewards."""

    prompt: PromptRow
    rollout: Rollout
    text: str
    rewards: dict[str, float | None] = field(default_factory=dict)
    """By the reward's name in the run file; None where it abstained."""

    steps: dict[str, list[float]] = field(default_factory=dict)
    """What process rewards said of the steps, by the same names."""

    unsaid: dict[str, str] = field(default_factory=dict)
    """Why a reward said nothing or failed, by the same names: `unasked`, or the kind of the failure."""

    penalty: float = 0.0
    """Taken off the weighted sum of the rewards, >= 0: the answer did not end by itself."""

    advantage: float = 0.0
    side: str = ""
    """`chosen` or `rejected`, of an answer that is one of a pair."""

    @property
    def num_tokens(self) -> int:
        """How many tokens the model wrote."""
        own = self.rollout.trained
        return len(self.rollout.answer_ids) if own is None else sum(own)

    @property
    def num_turns(self) -> int:
        """How many turns the model had."""
        return sum(turn["role"] == "assistant" for turn in self.rollout.messages) or 1

    def total(self, weights: Mapping[str, float]) -> float:
        """Return the weighted sum of the rewards less the penalty, NaN when every one that counts abstained."""
        known = [value * weights[name] for name, value in self.rewards.items() if value is not None and weights[name]]
        return sum(known) - self.penalty if known else float("nan")


def scored_samples(
    plan: RunPlan,
    rewards: Sequence[RewardPart],
    encoder: TextEncoder,
    prompts: Sequence[PromptRow],
    drawn: Sequence[Sequence[Rollout]],
    stops: Sequence[int],
) -> list[list[Sample]]:
    """Return the answers of each prompt with what every reward says of them."""
    penalty = plan.settings.rollout.missing_eos_penalty
    groups = [
        [
            Sample(row, rollout, text_of(encoder, rollout, stops), penalty=0.0 if rollout.finished else penalty)
            for rollout in rollouts
        ]
        for row, rollouts in zip(prompts, drawn, strict=True)
    ]
    score(plan, rewards, [sample for group in groups for sample in group])
    return groups


def score(plan: RunPlan, rewards: Sequence[RewardPart], samples: Sequence[Sample]) -> None:
    """Let every reward of the run file score the answers, in place."""
    names = sorted({name for sample in samples for name in sample.prompt["columns"]})
    columns = {name: [sample.prompt["columns"].get(name) for sample in samples] for name in names}
    truths = [sample.prompt["ground_truth"] for sample in samples]
    requests = [_request(sample) for sample in samples]
    for reward in rewards:
        try:
            values = reward.score(requests, truths, **columns)  # type: ignore[arg-type]
        except ValueError as error:
            raise SwiftError(Problem("reward-failed", f"{error}.", plan.config.place("reward"))) from error
        for sample, value in zip(samples, values, strict=True):
            sample.rewards[reward.name] = value
        for index in getattr(values, "unasked", ()):
            samples[index].unsaid[reward.name] = "unasked"
        for index, failure in getattr(values, "failures", {}).items():
            samples[index].unsaid[reward.name] = failure.kind
        for sample, steps in zip(samples, getattr(values, "steps", ()), strict=False):
            if steps is not None:
                sample.steps[reward.name] = list(steps)


def text_of(encoder: TextEncoder, rollout: Rollout, stops: Sequence[int]) -> str:
    """Return what the model said, in its last turn where it had several, without the token that ends it."""
    if rollout.messages:
        return str(rollout.messages[-1]["content"])
    ids = list(rollout.answer_ids)
    return encoder.decode(ids[:-1] if ids and ids[-1] in stops else ids)


def _request(sample: Sample) -> InferRequest:
    prompt = sample.prompt["prompt"]
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(turn) for turn in prompt]
    answer = [dict(turn) for turn in sample.rollout.messages] or [{"role": "assistant", "content": sample.text}]
    return InferRequest(messages=[*turns, *answer], response=sample.text)
