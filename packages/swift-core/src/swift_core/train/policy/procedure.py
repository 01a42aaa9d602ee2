"""Stage `grpo`, and every loss on sampled answers: draw, score, compare, learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from swift_core.assemble.kinds.prompts import prompt_row
from swift_core.contracts.engine import Rollout
from swift_core.contracts.loss import PolicyOutputs
from swift_core.errors import Problem, SwiftError
from swift_core.train.evaluate import Answers, answer
from swift_core.train.outputs import ScoredTokens
from swift_core.train.policy import record
from swift_core.train.policy.advantages import ESTIMATORS
from swift_core.train.policy.kept import KeepAnswers
from swift_core.train.policy.rollouts import Rollouts, Sample, score, set_advantages, training_batch
from swift_core.train.policy.windows import RepeatedWindows
from swift_core.train.reference import Reference, reference_of
from swift_core.train.trainer import Batch, SwiftTrainer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers.trainer_utils import EvalLoopOutput

    from swift_core.contracts.handover import Parts


class Policy(SwiftTrainer):
    """Train on rewards of answers that the model draws itself; a row is a prompt."""

    feeds: ClassVar[str] = "PolicyOutputs"
    rows: ClassVar[str] = "prompts"
    default_loss: ClassVar[str] = "grpo"
    samples: ClassVar[bool] = True

    def __init__(self, parts: Parts) -> None:
        """Take the live parts of a run, and the reference its loss needs."""
        super().__init__(parts)
        self.reference: Reference | None = reference_of(parts, self.head)
        self.rollouts = Rollouts(parts, self.args.process_index)
        settings = parts.plan.settings.rollout
        asked = settings.advantages
        self._estimator = ESTIMATORS[getattr(parts.loss, "advantages", "group") if asked == "auto" else asked]
        self.kept: list[dict[str, Any]] = []
        """The batches of the answers that steps are taken on now."""
        if settings.num_iterations > 1:
            self.add_callback(KeepAnswers(self, settings.num_iterations))
        self._answers: tuple[int, Answers] | None = None

    # A step: prompts come in, batches of scored answers go out.

    def prepare_step(self, batches: list[Any]) -> list[Any]:
        """Return the micro-batches of answers for those of prompts; further iterations have the same answers."""
        iterations = self.parts.plan.settings.rollout.num_iterations
        if self.kept and self.state.global_step % iterations:
            return self.kept
        prompts = [row for batch in batches for row in batch["prompts"]]
        groups = self.rollouts.draw(prompts, self.state.global_step)
        self._compare(groups)
        self._log(groups)
        self.kept = self._training_batches(batches, groups)
        if iterations > 1 and "old_logps" not in self.kept[0]:
            self._keep_old_logps()
        return self.kept

    def _compare(self, groups: Sequence[Sequence[Sample]]) -> None:
        """Give every answer its advantage."""
        try:
            set_advantages(groups, self.rollouts.weights, self._estimator, self._reduce_cpu)
        except ValueError as error:
            place = self.parts.plan.config.place("rollout.advantages") or self.parts.plan.config.place("reward")
            problem = Problem("advantages", f"{error}.", place, "change the rewards or their weights")
            raise SwiftError(problem) from error

    def _training_batches(self, batches: Sequence[Any], groups: Sequence[Sequence[Sample]]) -> list[dict[str, Any]]:
        settings, result, position = self.parts.plan.settings.rollout, [], 0
        for batch in batches:
            chosen = groups[position : position + len(batch["prompts"])]
            position += len(chosen)
            samples = [sample for group in chosen for sample in group]
            made = training_batch(samples, self.parts.encoder.pad_token_id, mask_truncated=settings.mask_truncated)
            result.append({name: value.to(self.args.device) for name, value in made.items()})
        return result

    @torch.no_grad()
    def _keep_old_logps(self) -> None:
        """Score the answers under the weights that drew them: later iterations have other weights."""
        self.module.eval()
        for batch in self.kept:
            tokens = ScoredTokens(self.head, self.module, batch)
            batch["old_logps"] = tokens.padded(tokens.logps)
        self.module.train()

    def _log(self, groups: Sequence[Sequence[Sample]]) -> None:
        self._since_log.add_values(record.figures(groups, self.rollouts))
        shown = self.parts.plan.settings.rollout.log_completions
        interval = self.state.logging_steps or 1
        step = self.state.global_step + 1
        if shown and self.is_world_process_zero() and (step == 1 or step % interval == 0):
            record.write(self.parts.directory, step, groups[:shown], self.rollouts.weights)

    def _reduce_cpu(self, value: Tensor) -> Tensor:
        return self._reduce(value.to(self.args.device)).to(value.device)

    # What losses are given.

    def count_items(self, batch: Batch) -> Tensor:
        """Return the number of answers."""
        return torch.tensor(len(batch["labels"]))

    def make_outputs(self, model: nn.Module, batch: Batch) -> PolicyOutputs:
        """Return the lazy outputs on sampled answers."""
        return self.outputs_of(ScoredTokens(self.head, model, batch), batch)

    def outputs_of(self, tokens: ScoredTokens, batch: Batch) -> PolicyOutputs:
        """Return the lazy outputs of scored tokens."""
        reference = None if self.reference is None else self.reference.on(batch)

        old = batch.get("old_logps")
        mask = tokens.padded(torch.ones_like(tokens.labels)).bool()
        thunks: dict[str, Any] = {
            "logps": lambda: tokens.padded(tokens.logps),
            "old_logps": lambda: tokens.padded(tokens.logps).detach() if old is None else old,
            "advantages": lambda: batch["advantages"][:, None].expand(mask.shape),
            "mask": lambda: mask,
            "max_length": lambda: self.parts.plan.settings.train.max_completion_length,
        }
        if reference is not None:
            thunks["reference_logps"] = lambda: tokens.padded(reference())
        return PolicyOutputs(thunks)

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
        if self._answers is None or self._answers[0] != self.state.global_step:
            self._answers = (self.state.global_step, answer(self.parts, all_rows=True))
        return self._answers[1]

    def evaluation_loop(self, dataloader: Any, description: str, *_: Any, **options: Any) -> EvalLoopOutput:
        """Return the mean reward of the held-out prompts, by reward and in all."""
        from transformers.trainer_utils import EvalLoopOutput

        self.show_kept_weights()
        answers, prefix = self.answers(), options.get("metric_key_prefix", "eval")
        samples = [
            Sample(prompt_row(record, [], index), Rollout([], [], finished=True), text)
            for index, (record, text) in enumerate(zip(answers.records, answers.responses, strict=True))
        ]
        score(self.parts.plan, self.parts.rewards, samples)
        values = record.reward_figures(samples, self.rollouts.weights)
        metrics: Any = {f"{prefix}_{name}": sum(numbers) / len(numbers) for name, numbers in values.items() if numbers}
        return EvalLoopOutput(predictions=None, label_ids=None, metrics=metrics, num_samples=len(samples))  # type: ignore[arg-type]
