"""Answers drawn for one optimizer step, with what rewards say of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch.distributed as dist

from swift_core.assemble.generate import stop_ids
from swift_core.assemble.turns import draw, hash_seed
from swift_core.contracts.engine import Rollout, SamplingParams
from swift_core.errors import Problem, SwiftError
from swift_core.train.engine.whole import merged_, served_weights
from swift_core.train.policy.samples import Sample, scored_samples, text_of
from swift_core.train.policy.weights import weight_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.contracts.data import PromptRow
    from swift_core.contracts.handover import Parts


class Rollouts:
    """Draws and scores; an answer depends on the seed, the step, its place among all of the step, and the weights."""

    def __init__(self, parts: Parts, rank: int) -> None:
        """Take the run's engine and rewards; hand the model over to an engine that answers with it."""
        self._parts, self._rank = parts, rank
        self._rows = parts.plan.settings.train.per_device_train_batch_size
        self._settings = parts.plan.settings.rollout
        self._stops = tuple(stop_ids(parts.model, parts.encoder))
        self._attached = hasattr(parts.engine, "attach")
        self._handed_over = -1
        self.scheduled = [reward.name for reward in parts.rewards if reward.schedule is not None]
        """Names of the rewards whose weights change."""
        self.weights: dict[str, float] = {}
        self.weigh(0)
        if self._attached:
            parts.engine.attach(parts.model, parts.encoder.pad_token_id)

    def draw(self, prompts: Sequence[PromptRow], step: int) -> list[list[Sample]]:
        """Return a scored group of answers for each prompt; groups of one reward are drawn anew where asked for."""
        self._hand_over(step)
        self.weigh(step)
        groups = self._scored(prompts, range(len(prompts)), step, 0)
        for attempt in range(1, self._settings.max_resample_times + 1):
            flat = [index for index, group in enumerate(groups) if self.is_flat(group)]
            if not flat:
                break
            again = self._scored([prompts[index] for index in flat], flat, step, attempt)
            for index, group in zip(flat, again, strict=True):
                groups[index] = group
        return groups

    def weigh(self, step: int) -> None:
        """Give the rewards the weights of a step."""
        for reward in self._parts.rewards:
            if reward.schedule is not None:
                reward.weight = weight_at(reward.schedule, step)
        self.weights = {reward.name: reward.weight for reward in self._parts.rewards}

    def likeliest(self, prompts: Sequence[PromptRow], step: int) -> list[Sample]:
        """Return the likeliest answer to each prompt, in as many turns as it takes, without rewards."""
        self._hand_over(step)
        parts, params = self._parts, replace(self._params((), step, 0), num_answers=1, temperature=0.0)
        drawn = draw(parts.engine, parts.turns, parts.encoder, prompts, params)
        answers = [rollout for (rollout,) in drawn]
        return [
            Sample(row, answer, text_of(parts.encoder, answer, self._stops))
            for row, answer in zip(prompts, answers, strict=True)
        ]

    def plain(self, prompts: Sequence[Sequence[int]], step: int, batch: int) -> Sequence[Sequence[Rollout]]:
        """Return one answer to each prompt of a batch, by its number in the step; without scores."""
        self._hand_over(step)
        first = batch * self._rows
        places = range(first, first + len(prompts))
        answers: Sequence[Sequence[Rollout]] = self._parts.engine.generate(
            prompts, replace(self._params(places, step, 0), num_answers=1)
        )
        return answers

    def _hand_over(self, step: int) -> None:
        """Give an engine with weights of its own the present ones, once a step.

        Raises:
            SwiftError: The adapters of the model are no weights, or the engine did not take them.
        """
        if self._attached or self._handed_over == step:
            return
        parts, engine = self._parts, self._parts.engine
        serves_all, error = getattr(engine, "serves_all", False), None
        try:
            with merged_(parts.model):
                weights = dict(served_weights(parts.model))
                if self._rank == 0 or not serves_all:
                    engine.update_weights(weights, step)
        except ValueError as caught:
            place = parts.plan.config.place("rollout.engine")
            message = f"the engine answers with weights of its own: {caught}."
            error = SwiftError(Problem("engine-weights", message, place, "write rollout.engine: transformers"))
        except SwiftError as caught:
            error = caught
        if serves_all:
            error = _first(error)  # and nobody draws before the weights are there
        if error is not None:
            raise error
        self._handed_over = step

    def is_flat(self, group: Sequence[Sample]) -> bool:
        """Say whether all answers of a group have one reward: nothing can be learned from it."""
        totals = [sample.total(self.weights) for sample in group]
        return all(total == totals[0] or total != total for total in totals)

    def _scored(
        self, prompts: Sequence[PromptRow], places: Sequence[int], step: int, attempt: int
    ) -> list[list[Sample]]:
        parts = self._parts
        drawn = draw(parts.engine, parts.turns, parts.encoder, prompts, self._params(places, step, attempt))
        return scored_samples(parts.plan, parts.rewards, parts.encoder, prompts, drawn, self._stops)

    def _params(self, places: Sequence[int], step: int, attempt: int) -> SamplingParams:
        """Return how the prompts at `places` among those of this process's step are answered."""
        train, settings = self._parts.plan.settings.train, self._settings
        return SamplingParams(
            max_tokens=train.max_completion_length,
            temperature=settings.temperature,
            top_p=settings.top_p,
            top_k=settings.top_k,
            num_answers=settings.num_generations,
            seed=hash_seed(train.seed, step, self._rank, attempt, *places[:1]),
            seeds=tuple(hash_seed(train.seed, step, self._place_of_all(place), attempt) for place in places),
            stop_token_ids=self._stops,
        )

    def _place_of_all(self, place: int) -> int:
        """Return the place of a prompt among those of all processes, which take turns, a batch each."""
        batch, row = divmod(place, self._rows)
        return (batch * self._parts.plan.parallel.num_shares + self._rank) * self._rows + row


def _first(error: SwiftError | None) -> SwiftError | None:
    """Return the error of the first process, or that there is one, on every process."""
    if not dist.is_initialized():
        return error
    failed = [error is not None]
    dist.broadcast_object_list(failed)
    if failed[0] and error is None:
        message = "another process of this run could not hand the weights over; it says why."
        return SwiftError(Problem("other-process", message, next_step="look at what the other processes printed"))
    return error
