"""The engine of the stages that train a classification head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch

from swift_core.assemble.scoring import ScoreHead
from swift_core.train.trainer import Batch, SwiftTrainer

if TYPE_CHECKING:
    from swift_core.contracts.handover import Parts


class ScoringTrainer(SwiftTrainer):
    """Base of the procedures whose model has a classification head."""

    def __init__(self, parts: Parts) -> None:
        """Take the live parts of a run."""
        super().__init__(parts)
        self.score_head = ScoreHead(parts.model)

    def prove(self, batch: Batch) -> None:
        """Raise SwiftError unless the head is where it should be, and the loss takes the labels of the data."""
        config = cast("Any", self.module).config.get_text_config()
        self.score_head.prove(self.module, batch, config.pad_token_id)
        with torch.no_grad():
            self.batch_loss(self.make_outputs(self.module, batch), batch, self.count_items(batch))
