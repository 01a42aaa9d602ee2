"""What procedures share that train on rewarded answers of their own: drawing, scoring, keeping, logging, judging."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from swift_core.assemble.failures import decided_later
from swift_core.assemble.generate import prompt_ids
from swift_core.assemble.kinds.prompts import prompt_row
from swift_core.contracts.engine import Rollout
from swift_core.errors import SwiftError
from swift_core.train.evaluate import Answers, answer
from swift_core.train.policy import record
from swift_core.train.policy.agreement import agree, decide_failures
from swift_core.train.policy.kept import KeepAnswers, KeepFailures
from swift_core.train.policy.rollouts import Rollouts
from swift_core.train.policy.samples import Sample, score
from swift_core.train.policy.windows import RepeatedWindows
from swift_core.train.trainer import SwiftTrainer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers.trainer_utils import EvalLoopOutput

    from swift_core.contracts.handover import Parts
    from swift_core.train.outputs import ScoredTokens


class SampledAnswers(SwiftTrainer):
    """Base of procedures whose rows are prompts. A subclass makes micro-batches of scored groups of answers."""

    def __init__(self, parts: Parts) -> None:
        """Take the live parts of a run."""
        super().__init__(parts)
        self.rollouts = Rollouts(parts, self.args.process_index)
        iterations = parts.plan.settings.rollout.num_iterations
        self.kept: list[dict[str, Any]] = []
        """The batches of the answers that steps are taken on now."""
        if iterations > 1:
            self.add_callback(KeepAnswers(self, iterations))
        self.add_callback(KeepFailures(self))
        self._failures: dict[str, float] = {}
        """Failures of rewards so far, on all processes."""
        self.add_callback(record.ForgetLater(parts.directory))
        self._answers: tuple[int, Answers, list[Sample]] | None = None

    def training_batches(self, batches: Sequence[Any], groups: Sequence[Sequence[Sample]]) -> list[dict[str, Any]]:
        """Return a micro-batch of answers for each of `batches`; `groups` are those of all their prompts in order."""
        raise NotImplementedError

    # A step: prompts come in, batches of scored answers go out.

    def prepare_step(self, batches: list[Any]) -> list[Any]:
        """Return the micro-batches of answers for those of prompts; further iterations have the same answers."""
        if self.kept and self.state.global_step % self.parts.plan.settings.rollout.num_iterations:
            return self.kept
        groups = self._drawn([row for batch in batches for row in batch["prompts"]])
        made = self.training_batches(batches, groups)
        self._log_rollouts(groups)
        self.kept = [{name: value.to(self.args.device) for name, value in batch.items()} for batch in made]
        return self.kept

    def _drawn(self, prompts: Sequence[Any]) -> list[list[Sample]]:
        """Return a scored group of answers for each prompt; whether the run stops for failures all processes decide."""
        groups, error = [], None
        with decided_later():
            try:
                groups = self.rollouts.draw(prompts, self.state.global_step)
            except SwiftError as caught:
                error = caught
        agree(error, self.reduce_cpu)
        self._failures = decide_failures(self.parts.rewards, self.reduce_cpu)
        return groups

    def get_batch_samples(self, *args: Any) -> tuple[list[Any], Tensor | int | None]:
        """Return one step's micro-batches; a step in which there is nothing to learn counts one item."""
        batches, _ = super().get_batch_samples(*args)
        self._step_items = self._step_items.clamp(min=1)
        return batches, self._step_items

    def _step_factor(self) -> float:
        """Return 1 for a step in which nothing has weight: its gradient is zero, and its loss no mean of anything."""
        _, weights = self._step.loss(self._reduce)
        if weights == 0:
            self._step.clear()
            return 1.0
        return super()._step_factor()

    def derived(self, means: dict[str, float]) -> dict[str, float]:
        """Return the means; the loss is 0 where no step since the last line had anything to learn."""
        means = record.without_silence(means)
        return means | {"loss": 0.0 if math.isnan(means["loss"]) else means["loss"]} | self._failures

    def watch(self, tokens: ScoredTokens) -> None:
        """Note how sure the model is of the answers it is trained on, in steps that are logged."""
        if torch.is_grad_enabled() and self._is_logged_step():
            entropies = tokens.read("entropies")  # before the loss, so that one pass over the head says all
            self._since_log.add_values({"entropy": entropies, "top1": tokens.read("top1")})

    def _log_rollouts(self, groups: Sequence[Sequence[Sample]]) -> None:
        self._since_log.add_values(record.figures(groups, self.rollouts))
        settings = self.parts.plan.settings
        shown = settings.rollout.log_completions if settings.train.keep_text else 0
        if shown and self.is_world_process_zero() and self._is_logged_step():
            step = self.state.global_step + 1
            record.write(self.parts.directory, step, groups[:shown], self.rollouts.weights)

    def _is_logged_step(self) -> bool:
        """Say whether the present step is the first, or ends with a line of the log."""
        step = self.state.global_step + 1
        return step == 1 or step % (self.state.logging_steps or 1) == 0

    def reduce_cpu(self, value: Tensor) -> Tensor:
        """Return `value`, which lies on the CPU, summed over all processes."""
        return self._reduce(value.to(self.args.device)).to(value.device)

    def prove(self, batch: Any) -> None:
        """Raise SwiftError unless the scores are the model's own, tried on a prompt."""
        ids = torch.tensor([batch["prompts"][0]["prompt_ids"]], device=self.args.device)
        self.head.prove(self.module, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        """Return prompts by windows of one step, each as often as its answers are used."""
        settings = self.parts.plan.settings
        return RepeatedWindows(
            len(self.parts.train_dataset),
            window=self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size,
            repeats=settings.rollout.num_iterations,
            seed=settings.train.seed,
            shuffle=settings.data.shuffle,
        )

    # Held-out prompts: answered greedily, scored by the same rewards.

    def answers(self) -> Answers:
        """Return the answers of this step's weights, drawn once."""
        return self._held_out()[0]

    def _held_out(self) -> tuple[Answers, list[Sample]]:
        step = self.state.global_step
        if self._answers is None or self._answers[0] != step:
            made = self._answered() if self.parts.turns is None else self._answered_in_turns(step)
            self._answers = step, *made
        return self._answers[1:]

    def _answered(self) -> tuple[Answers, list[Sample]]:
        answers = answer(self.parts, all_rows=True)
        rows = enumerate(zip(answers.records, answers.responses, strict=True))
        nothing = Rollout([], [], finished=True)
        return answers, [Sample(prompt_row(record, [], index), nothing, text) for index, (record, text) in rows]

    def _answered_in_turns(self, step: int) -> tuple[Answers, list[Sample]]:
        limit, encoder = self.parts.plan.settings.train.eval_generation_rows, self.parts.encoder
        records = [record for record in self.parts.eval_records if record.prompt is not None][:limit]
        rows = [
            prompt_row(record, prompt_ids(encoder, record.prompt or "", record.tools), index)
            for index, record in enumerate(records)
        ]
        samples = self.rollouts.likeliest(rows, step)
        return Answers(records, [sample.text for sample in samples]), samples

    def evaluation_loop(self, dataloader: Any, description: str, *_: Any, **options: Any) -> EvalLoopOutput:
        """Return the mean reward of the held-out prompts, by reward and in all."""
        from transformers.trainer_utils import EvalLoopOutput

        self.show_kept_weights()
        samples, prefix = self._held_out()[1], options.get("metric_key_prefix", "eval")
        with decided_later():
            score(self.parts.plan, self.parts.rewards, samples)
        self._failures = decide_failures(self.parts.rewards, self.reduce_cpu)
        values = record.reward_figures(samples, self.rollouts.weights)
        means = {name: sum(numbers) / len(numbers) for name, numbers in values.items() if numbers}
        metrics: Any = {f"{prefix}_{name}": mean for name, mean in record.without_silence(means).items()}
        return EvalLoopOutput(predictions=None, label_ids=None, metrics=metrics, num_samples=len(samples))  # type: ignore[arg-type]


def by_batch(batches: Sequence[Any], groups: Sequence[Sequence[Sample]]) -> list[Sequence[Sequence[Sample]]]:
    """Return the groups of each batch of prompts."""
    result, position = [], 0
    for batch in batches:
        result.append(groups[position : position + len(batch["prompts"])])
        position += len(batch["prompts"])
    return result
