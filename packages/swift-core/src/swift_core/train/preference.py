"""Stage `dpo`, and every loss on pairs: a chosen and a rejected completion of one prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

from swift_core.train.outputs import ScoredTokens, pair_outputs
from swift_core.train.referenced import Referenced
from swift_core.train.trainer import Batch

if TYPE_CHECKING:
    from swift_core.contracts.loss import PairOutputs


class Preference(Referenced):
    """Preference training on pairs, with a reference model where the loss reads one."""

    feeds: ClassVar[str] = "PairOutputs"
    rows: ClassVar[str] = "pairs"
    default_loss: ClassVar[str] = "dpo"

    def count_items(self, batch: Batch) -> Tensor:
        """Return the number of pairs."""
        return torch.tensor(len(batch["margins"]))

    def make_outputs(self, model: nn.Module, batch: Batch) -> PairOutputs:
        """Return the lazy outputs on pairs."""
        policy, reference = self.scored(model, batch)
        return pair_outputs(policy, batch["margins"], reference, self._gold(model, batch))

    def _gold(self, model: nn.Module, batch: Batch) -> ScoredTokens | None:
        """Return the third answers of the batch, in a forward pass of their own that runs when a loss reads them."""
        rows = {name.removeprefix("gold_"): value for name, value in batch.items() if name.startswith("gold_")}
        return ScoredTokens(self.head, model, rows, reader="gold") if rows else None
