"""Answers drawn for one optimizer step, what rewards say of them, and the batches they become."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from swift_core.assemble.generate import stop_ids
from swift_core.assemble.kinds.kind import IGNORED, padded
from swift_core.contracts.engine import Rollout, SamplingParams
from swift_core.contracts.reward import InferRequest
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from swift_core.contracts.data import PromptRow, TextEncoder
    from swift_core.contracts.handover import Parts, RewardPart, RunPlan


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

    advantage: float = 0.0

    def total(self, weights: Mapping[str, float]) -> float:
        """Return the weighted sum of the rewards, NaN when every one that counts abstained."""
        known = [value * weights[name] for name, value in self.rewards.items() if value is not None and weights[name]]
        return sum(known) if known else float("nan")


class Rollouts:
    """Draws and scores; what is drawn depends on the seed, the step, the process and the weights alone."""

    def __init__(self, parts: Parts, rank: int) -> None:
        """Take the run's engine and rewards; hand the model over to an engine that answers with it."""
        self._parts, self._rank = parts, rank
        self._settings = parts.plan.settings.rollout
        self._stops = tuple(stop_ids(parts.model, parts.encoder))
        self._attached = hasattr(parts.engine, "attach")
        self.weights = {reward.name: reward.weight for reward in parts.rewards}
        if self._attached:
            parts.engine.attach(parts.model, parts.encoder.pad_token_id)

    def draw(self, prompts: Sequence[PromptRow], step: int) -> list[list[Sample]]:
        """Return a scored group of answers for each prompt; groups of one reward are drawn anew where asked for."""
        if not self._attached:
            self._parts.engine.update_weights(dict(self._parts.model.named_parameters()), step)
        groups = self._scored(prompts, step, 0)
        for attempt in range(1, self._settings.max_resample_times + 1):
            flat = [index for index, group in enumerate(groups) if self.is_flat(group)]
            if not flat:
                break
            again = self._scored([prompts[index] for index in flat], step, attempt)
            for index, group in zip(flat, again, strict=True):
                groups[index] = group
        return groups

    def plain(self, prompts: Sequence[Sequence[int]], step: int, attempt: int) -> Sequence[Sequence[Rollout]]:
        """Return one answer to each prompt, without scores."""
        if not self._attached:
            self._parts.engine.update_weights(dict(self._parts.model.named_parameters()), step)
        answers: Sequence[Sequence[Rollout]] = self._parts.engine.generate(
            prompts, replace(self._params(step, attempt), num_answers=1)
        )
        return answers

    def is_flat(self, group: Sequence[Sample]) -> bool:
        """Say whether all answers of a group have one reward: nothing can be learned from it."""
        totals = [sample.total(self.weights) for sample in group]
        return all(total == totals[0] or total != total for total in totals)

    def _scored(self, prompts: Sequence[PromptRow], step: int, attempt: int) -> list[list[Sample]]:
        drawn = self._parts.engine.generate([row["prompt_ids"] for row in prompts], self._params(step, attempt))
        parts = self._parts
        return scored_samples(parts.plan, parts.rewards, parts.encoder, prompts, drawn, self._stops)

    def _params(self, step: int, attempt: int) -> SamplingParams:
        train, settings = self._parts.plan.settings.train, self._settings
        return SamplingParams(
            max_tokens=train.max_completion_length,
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=settings.top_k,
            num_answers=settings.num_generations,
            seed=hash_seed(train.seed, step, self._rank, attempt),
            stop_token_ids=self._stops,
        )


def hash_seed(*numbers: int) -> int:
    """Return one seed for all `numbers`, the same on every machine."""
    seed = 0
    for number in numbers:
        seed = (seed * 6364136223846793005 + number * 2 + 1442695040888963407) % 2**63
    return seed


def _text(encoder: Any, rollout: Rollout, stops: Sequence[int]) -> str:
    ids = list(rollout.answer_ids)
    text: str = encoder.decode(ids[:-1] if ids and ids[-1] in stops else ids)
    return text


def scored_samples(
    plan: RunPlan,
    rewards: Sequence[RewardPart],
    encoder: TextEncoder,
    prompts: Sequence[PromptRow],
    drawn: Sequence[Sequence[Rollout]],
    stops: Sequence[int],
) -> list[list[Sample]]:
    """Return the answers of each prompt with what every reward says of them."""
    groups = [
        [Sample(row, rollout, _text(encoder, rollout, stops)) for rollout in rollouts]
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
        for sample, steps in zip(samples, getattr(values, "steps", ()), strict=False):
            if steps is not None:
                sample.steps[reward.name] = list(steps)


def _request(sample: Sample) -> InferRequest:
    prompt = sample.prompt["prompt"]
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(turn) for turn in prompt]
    return InferRequest(messages=[*turns, {"role": "assistant", "content": sample.text}], response=sample.text)


def own_answers(
    rollouts: Rollouts, batches: Sequence[Mapping[str, Tensor]], step: int, pad_token_id: int
) -> list[dict[str, Any]]:
    """Return batches with the prompts of `batches`, up to the first trained token, and answers drawn now."""
    result = []
    for index, batch in enumerate(batches):
        prompts = []
        for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
            first = int((labels != IGNORED).to(torch.int8).argmax())
            prompts.append(ids[:first].tolist())
        drawn = [answers[0] for answers in rollouts.plain(prompts, step, index)]
        ids = [[*rollout.prompt_ids, *rollout.answer_ids] for rollout in drawn]
        labels = [[IGNORED] * len(rollout.prompt_ids) + [*rollout.answer_ids] for rollout in drawn]
        result.append(padded(ids, labels, pad_token_id) | {"rows": batch["rows"]})
    return result


def training_batch(samples: Sequence[Sample], pad_token_id: int, *, mask_truncated: bool) -> dict[str, Any]:
    """Return int64 input_ids, attention_mask and labels [row, time], and float32 advantages [row].

    Labels are set on the tokens that the model wrote; with `mask_truncated` not on those of answers that were cut.
    """
    ids, labels = [], []
    for sample in samples:
        prompt, answer = list(sample.rollout.prompt_ids), list(sample.rollout.answer_ids)
        own = sample.rollout.trained or [True] * len(answer)
        if mask_truncated and not sample.rollout.finished:
            own = [False] * len(answer)
        ids.append(prompt + answer)
        labels.append([IGNORED] * len(prompt) + [t if w else IGNORED for t, w in zip(answer, own, strict=True)])
    batch: dict[str, Any] = padded(ids, labels, pad_token_id)
    return batch | {"advantages": torch.tensor([sample.advantage for sample in samples], dtype=torch.float32)}


def set_advantages(
    groups: Sequence[Sequence[Sample]],
    weights: Mapping[str, float],
    estimator: Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor],
    reduce: Callable[[Tensor], Tensor],
) -> None:
    """Give every answer its advantage, in place."""
    rewards = torch.tensor([[sample.total(weights) for sample in group] for group in groups], dtype=torch.float64)
    for group, row in zip(groups, estimator(rewards, reduce).tolist(), strict=True):
        for sample, advantage in zip(group, row, strict=True):
            sample.advantage = advantage
