"""Stage `dpo`, and every loss on pairs: a chosen and a rejected completion of one prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from swift_core.train.outputs import ScoredTokens, pair_outputs
from swift_core.train.reference import Reference, reference_of
from swift_core.train.reference_updates import ReferenceUpdates
from swift_core.train.trainer import Batch, SwiftTrainer

if TYPE_CHECKING:
    from collections.abc import Callable

    from swift_core.contracts.handover import Parts
    from swift_core.contracts.loss import PairOutputs


class Preference(SwiftTrainer):
    """Preference training on pairs, with a reference model where the loss reads one."""

    feeds: ClassVar[str] = "PairOutputs"
    rows: ClassVar[str] = "pairs"
    default_loss: ClassVar[str] = "dpo"

    def __init__(self, parts: Parts) -> None:
        """Take the live parts of a run, and the reference its loss needs."""
        super().__init__(parts)
        self.reference: Reference | None = reference_of(parts, self.head)
        if parts.plan.settings.train.sync_ref_model:
            self.add_callback(ReferenceUpdates(parts))

    def count_items(self, batch: Batch) -> Tensor:
        """Return the number of pairs."""
        return torch.tensor(len(batch["margins"]))

    def make_outputs(self, model: nn.Module, batch: Batch) -> PairOutputs:
        """Return the lazy outputs on pairs."""
        policy, reference = self._scored(model, batch)
        return pair_outputs(policy, batch["margins"], reference, self._gold(model, batch))

    def _scored(self, model: nn.Module, batch: Batch) -> tuple[ScoredTokens, Callable[[], Tensor] | None]:
        """Return the policy's tokens and the reference's log-probabilities: one pass over a head that they share."""
        reference = self.reference
        if reference is None:
            return ScoredTokens(self.head, model, batch), None
        if not reference.shares(self.head):
            known = reference.on(batch)
            return ScoredTokens(self.head, model, batch, before=known), known
        policy = ScoredTokens(self.head, model, batch, reference=lambda: reference.hidden(batch))
        return policy, lambda: policy.read("reference_logps")

    def _gold(self, model: nn.Module, batch: Batch) -> ScoredTokens | None:
        """Return the third answers of the batch, in a forward pass of their own that runs when a loss reads them."""
        rows = {name.removeprefix("gold_"): value for name, value in batch.items() if name.startswith("gold_")}
        return ScoredTokens(self.head, model, rows, reader="gold") if rows else None
