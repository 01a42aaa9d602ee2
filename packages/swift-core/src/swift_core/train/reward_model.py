"""Stage `rm`: a reward model, whose head's one output at the last token scores a prompt with its answer."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal

import torch

from swift_core.assemble.scoring import ScoreHead, last_token
from swift_core.contracts.score import ScoreOutputs
from swift_core.train.scoring import ScoringTrainer

if TYPE_CHECKING:
    from torch import Tensor, nn

    from swift_core.train.trainer import Batch


class RewardModelling(ScoringTrainer):
    """Reward model from pairs: the chosen answer shall have the higher score."""

    feeds: ClassVar[str] = "ScoreOutputs"
    rows: ClassVar[str] = "scores"
    model_head: ClassVar[Literal["sequence_classification"]] = "sequence_classification"
    default_loss: ClassVar[str] = "reward_model"

    def count_items(self, batch: Batch) -> Tensor:
        """Return the number of pairs."""
        return torch.tensor(len(batch["margins"]))

    def make_outputs(self, model: nn.Module, batch: Batch) -> ScoreOutputs:
        """Return the lazy outputs on pairs of scores."""
        scores, num_pairs = Scores(self.score_head, model, batch), len(batch["margins"])
        return ScoreOutputs(
            {
                "chosen_scores": lambda: scores.all[:num_pairs],
                "rejected_scores": lambda: scores.all[num_pairs:],
                "margins": lambda: batch["margins"],
            }
        )


class Scores:
    """Scores of a batch, computed when they are first read."""

    def __init__(self, head: ScoreHead, model: nn.Module, batch: Batch) -> None:
        """Keep what is needed."""
        self._head, self._model, self._batch = head, model, batch

    @cached_property
    def all(self) -> Tensor:
        """[sequence], float32."""
        logits = self._head.logits(self._model, self._batch)
        return last_token(logits, self._batch["attention_mask"]).squeeze(-1)
