"""Procedures whose losses may read a reference: the model as it was before training, or another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.train.outputs import ScoredTokens
from swift_core.train.reference import Reference, reference_of
from swift_core.train.reference_updates import ReferenceUpdates
from swift_core.train.trainer import Batch, SwiftTrainer

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

    from swift_core.contracts.handover import Parts


class Referenced(SwiftTrainer):
    """A procedure with a reference where the loss reads one, which follows the policy where that is asked for."""

    def __init__(self, parts: Parts) -> None:
        """Take the live parts of a run, and the reference its loss needs."""
        super().__init__(parts)
        self.reference: Reference | None = reference_of(parts, self.head)
        if parts.plan.settings.train.sync_ref_model:
            self.add_callback(ReferenceUpdates(parts))

    def scored(
        self, model: nn.Module, rows: Batch, *, reader: str = "policy", ahead: bool = False
    ) -> tuple[ScoredTokens, Callable[[], Tensor] | None]:
        """Return the policy's tokens and the reference's log-probabilities: one pass over a head that they share.

        Args:
            model: The policy.
            rows: Sequences with labels.
            reader: Who reads.
            ahead: The reference's were read ahead: only the policy has to run.
        """
        reference = self.reference
        if reference is None:
            return ScoredTokens(self.head, model, rows, reader=reader), None
        if ahead or not reference.shares(self.head):
            known = reference.on(rows)
            return ScoredTokens(self.head, model, rows, reader=reader, before=None if ahead else known), known
        tokens = ScoredTokens(self.head, model, rows, reader=reader, reference=lambda: reference.hidden(rows))
        return tokens, lambda: tokens.read("reference_logps")
