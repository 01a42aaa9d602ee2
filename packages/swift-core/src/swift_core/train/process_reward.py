"""Stage `prm`: a process reward model, whose head tells at the last token of each step whether the step is right."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from swift_core.assemble.kinds.heads import UNLABELLED
from swift_core.contracts.score import StepOutputs
from swift_core.train.scoring import ScoringTrainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from swift_core.train.trainer import Batch


class ProcessReward(ScoringTrainer):
    """Process reward model from labelled steps."""

    feeds: ClassVar[str] = "StepOutputs"
    rows: ClassVar[str] = "steps"
    model_head: ClassVar[Literal["token_classification"]] = "token_classification"
    default_loss: ClassVar[str] = "prm"

    def count_items(self, batch: Batch) -> Tensor:
        """Return the number of labelled steps."""
        return (batch["labels"] != UNLABELLED).sum()

    def make_outputs(self, model: nn.Module, batch: Batch) -> StepOutputs:
        """Return the lazy outputs on steps."""
        labelled = batch["labels"] != UNLABELLED
        outputs = StepOutputs(
            {
                "logits": lambda: self.score_head.logits(model, batch),
                "step_logits": lambda: outputs.logits[labelled],
                "labels": lambda: batch["labels"][labelled],
                "rows": lambda: labelled.nonzero(as_tuple=True)[0],
            }
        )
        return outputs
