"""Stage `grpo`, and every loss on sampled answers: draw, score, compare, learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from swift_core.contracts.loss import PolicyOutputs
from swift_core.errors import Problem, SwiftError
from swift_core.train.outputs import ScoredTokens
from swift_core.train.policy.advantages import ESTIMATORS
from swift_core.train.policy.batches import set_advantages, training_batch
from swift_core.train.policy.sampled import SampledAnswers, by_batch
from swift_core.train.referenced import Referenced
from swift_core.train.trainer import Batch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from swift_core.contracts.handover import Parts
    from swift_core.train.policy.samples import Sample


class Policy(SampledAnswers, Referenced):
    """Train on rewards of answers that the model draws itself; a row is a prompt."""

    feeds: ClassVar[str] = "PolicyOutputs"
    rows: ClassVar[str] = "prompts"
    default_loss: ClassVar[str] = "grpo"
    samples: ClassVar[bool] = True

    def __init__(self, parts: Parts) -> None:
        """Take the live parts of a run, and the reference its loss needs."""
        super().__init__(parts)
        asked = parts.plan.settings.rollout.advantages
        self._estimator = ESTIMATORS[getattr(parts.loss, "advantages", "group") if asked == "auto" else asked]

    def training_batches(self, batches: Sequence[Any], groups: Sequence[Sequence[Sample]]) -> list[dict[str, Any]]:
        """Return the answers with their advantages, and what the weights that drew them say of them if it is needed."""
        self._compare(groups)
        settings, pad = self.parts.plan.settings.rollout, self.parts.encoder.pad_token_id
        result = []
        for chosen in by_batch(batches, groups):
            samples = [sample for group in chosen for sample in group]
            made = training_batch(samples, pad, mask_truncated=settings.mask_truncated)
            result.append({name: value.to(self.args.device) for name, value in made.items()})
        if settings.num_iterations > 1:
            self._keep_old_logps(result)
        return result

    def _compare(self, groups: Sequence[Sequence[Sample]]) -> None:
        """Give every answer its advantage."""
        try:
            set_advantages(groups, self.rollouts.weights, self._estimator, self.reduce_cpu)
        except ValueError as error:
            place = self.parts.plan.config.place("rollout.advantages") or self.parts.plan.config.place("reward")
            problem = Problem("advantages", f"{error}.", place, "change the rewards or their weights")
            raise SwiftError(problem) from error

    @torch.no_grad()
    def _keep_old_logps(self, batches: Sequence[dict[str, Any]]) -> None:
        """Score the answers under the weights that drew them: later iterations have other weights."""
        self.module.eval()
        for batch in batches:
            tokens = ScoredTokens(self.head, self.module, batch)
            batch["old_logps"] = tokens.padded(tokens.logps)
        self.module.train()

    # What losses are given.

    def count_items(self, batch: Batch) -> Tensor:
        """Return the number of answers."""
        return torch.tensor(len(batch["labels"]))

    def make_outputs(self, model: nn.Module, batch: Batch) -> PolicyOutputs:
        """Return the lazy outputs on sampled answers."""
        return self.outputs_of(*self.scored(model, batch), batch)

    def outputs_of(self, tokens: ScoredTokens, reference: Callable[[], Tensor] | None, batch: Batch) -> PolicyOutputs:
        """Return the lazy outputs of scored tokens, and of the reference's log-probabilities of them."""
        self.watch(tokens)
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
