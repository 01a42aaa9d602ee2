"""Stage `seq_cls`: a text gets a class, several classes, or a number, at its last token."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import torch

from swift_core.assemble.scoring import last_token
from swift_core.contracts.score import ClassOutputs
from swift_core.train.scoring import ScoringTrainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from swift_core.train.trainer import Batch


class Classification(ScoringTrainer):
    """Classification of texts: one class each, several, or a number, as the data says."""

    feeds: ClassVar[str] = "ClassOutputs"
    rows: ClassVar[str] = "classes"
    model_head: ClassVar[Literal["sequence_classification"]] = "sequence_classification"
    default_loss: ClassVar[str] = "class_cross_entropy"

    def count_items(self, batch: Batch) -> Tensor:
        """Return the number of texts."""
        return torch.tensor(len(batch["labels"]))

    def make_outputs(self, model: nn.Module, batch: Batch) -> ClassOutputs:
        """Return the lazy outputs on classes."""
        return ClassOutputs(
            {
                "logits": lambda: last_token(self.score_head.logits(model, batch), batch["attention_mask"]),
                "labels": lambda: batch["labels"],
            }
        )
