"""Stages `sft` and `pt`: next-token training on the trained tokens of each row."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from swift_core.train.outputs import IGNORED, ScoredTokens, token_outputs
from swift_core.train.trainer import Batch, SwiftTrainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from swift_core.contracts.loss import TokenOutputs


class Supervised(SwiftTrainer):
    """Supervised fine-tuning on conversations, or prompts with completions: the answers are trained."""

    feeds: ClassVar[str] = "TokenOutputs"
    rows: ClassVar[str] = "tokens"
    default_loss: ClassVar[str] = "cross_entropy"

    def count_items(self, batch: Batch) -> Tensor:
        """Return the number of scored tokens."""
        return (batch["labels"][:, 1:] != IGNORED).sum()

    def make_outputs(self, model: nn.Module, batch: Batch) -> TokenOutputs:
        """Return the lazy outputs on tokens."""
        return token_outputs(ScoredTokens(self.head, model, batch))


class Pretraining(Supervised):
    """Continued pre-training on plain text: every token is trained."""

    feeds: ClassVar[str] = "TokenOutputs"
    rows: ClassVar[str] = "tokens"
    default_loss: ClassVar[str] = "cross_entropy"
