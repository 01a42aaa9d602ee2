"""Short rows first: the first epoch goes from the shortest row to the longest, later ones are shuffled.

Bengio et al., 2009, "Curriculum learning": examples in the order of their difficulty; length is a simple measure of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch.utils.data import Sampler

from swift_core.procedures import IGNORED, Batch, ScoredTokens, SwiftTrainer, token_outputs

if TYPE_CHECKING:
    from torch import Tensor, nn

    from swift_core.plugin_api import TokenOutputs


class Curriculum(SwiftTrainer):
    """Supervised fine-tuning that sees short rows first."""

    feeds: ClassVar[str] = "TokenOutputs"
    rows: ClassVar[str] = "tokens"
    default_loss: ClassVar[str] = "cross_entropy"

    def count_items(self, batch: Batch) -> Tensor:
        """Return the number of trained tokens: what a mean loss is a mean over."""
        return (batch["labels"][:, 1:] != IGNORED).sum()

    def make_outputs(self, model: nn.Module, batch: Batch) -> TokenOutputs:
        """Return what token losses read of a batch."""
        return token_outputs(ScoredTokens(self.head, model, batch))

    def prepare_step(self, batches: list[Any]) -> list[Any]:
        """Remember how long the rows of a step are."""
        self.row_length = float(torch.cat([batch["attention_mask"].sum(-1) for batch in batches]).float().mean())
        return batches

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log the mean length of the last step's rows, in tokens, with the loss."""
        super().log({**logs, "row_length": self.row_length} if "loss" in logs else logs, start_time)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        rows = self.parts.train_dataset
        lengths = [len(rows[index]["input_ids"]) for index in range(len(rows))]
        return ShortestFirst(lengths, self.parts.plan.settings.train.seed)


class ShortestFirst(Sampler[int]):
    """Indices of rows: in the first epoch by length, in later ones in an order that the seed and the epoch give."""

    def __init__(self, lengths: Sequence[int], seed: int) -> None:
        """Take the length of each row in tokens."""
        self._lengths, self._seed, self._epoch = lengths, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch is drawn next; the trainer calls it, so that a resumed run has the same order."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        if self._epoch == 0:
            return iter(sorted(range(len(self)), key=lambda index: self._lengths[index]))
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self._epoch)
        return iter(torch.randperm(len(self), generator=generator).tolist())
