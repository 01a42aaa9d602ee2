"""Stage `online_dpo`: every loss on pairs, on the best and the worst of the model's own answers.

Guo et al., 2024, arXiv:2402.04792, algorithm 1: two answers to each prompt (here `rollout.num_generations`) are drawn
from the present policy, judged, and learned from as a pair. A prompt whose answers are tied, or of which fewer than two
were judged, gives no pair and no gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from swift_core.train.ledger import BatchLoss
from swift_core.train.outputs import pair_outputs
from swift_core.train.policy.batches import pair_batch
from swift_core.train.policy.pairs import Pair, pair_of
from swift_core.train.policy.sampled import SampledAnswers, by_batch
from swift_core.train.preference import Preference
from swift_core.train.statistics import NOTHING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from swift_core.contracts.loss import PairOutputs
    from swift_core.train.policy.samples import Sample
    from swift_core.train.trainer import Batch


class OnlinePreference(SampledAnswers, Preference):
    """Train on pairs that the model draws itself and rewards judge; a row is a prompt."""

    feeds: ClassVar[str] = "PairOutputs"
    rows: ClassVar[str] = "prompts"
    default_loss: ClassVar[str] = "dpo"
    samples: ClassVar[bool] = True

    def training_batches(self, batches: Sequence[Any], groups: Sequence[Sequence[Sample]]) -> list[dict[str, Any]]:
        """Return the pairs of each batch of prompts, which may be none."""
        weights, leave_cut = self.rollouts.weights, self.parts.plan.settings.rollout.mask_truncated
        made, pad = [], self.parts.encoder.pad_token_id
        for chosen in by_batch(batches, groups):
            found = [pair_of(group, weights, leave_cut=leave_cut) for group in chosen]
            self._since_log.add_values(_counts(found))
            for pair in found:
                if isinstance(pair, Pair):
                    pair.chosen.side, pair.rejected.side = "chosen", "rejected"
            made.append(pair_batch([pair for pair in found if isinstance(pair, Pair)], chosen[0][0], pad))
        return made

    def make_outputs(self, model: nn.Module, batch: Batch) -> PairOutputs:
        """Return the lazy outputs on pairs; in steps that are logged, with how far the policy is from the reference."""
        policy, reference = self.scored(model, batch)
        if len(batch["margins"]):
            self.watch(policy)
        outputs = pair_outputs(policy, batch["margins"], reference)
        if reference is not None and torch.is_grad_enabled() and self._is_logged_step():
            apart = torch.cat([outputs.chosen_logps, outputs.rejected_logps]).detach()
            apart = apart - torch.cat([outputs.reference_chosen_logps, outputs.reference_rejected_logps])
            self._since_log.add_values({"kl": apart})
        return outputs

    def batch_loss(
        self, outputs: Any, batch: Batch, num_items_in_batch: Tensor, means: Mapping[str, Tensor] = NOTHING
    ) -> BatchLoss:
        """Return what the pairs of a micro-batch add; without any, a zero that every weight has a gradient of."""
        if len(batch["margins"]):
            return super().batch_loss(outputs, batch, num_items_in_batch, means)
        nothing = outputs.chosen_logps.sum()
        return BatchLoss(nothing, torch.zeros_like(nothing).detach(), {})


def _counts(found: Sequence[Pair | str]) -> dict[str, Tensor]:
    """Return for each prompt whether its answers were tied, and whether fewer than two were judged."""
    return {
        "tied_pairs": torch.tensor([float(each == "tied") for each in found]),
        "unjudged_pairs": torch.tensor([float(each == "unjudged") for each in found]),
        "pair_margin": torch.tensor([each.margin for each in found if isinstance(each, Pair)]),
    }
