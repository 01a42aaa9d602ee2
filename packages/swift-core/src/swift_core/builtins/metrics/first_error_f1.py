"""Finding the first wrong step, as ProcessBench judges it.

    predicted  index of the first step with p(right) < threshold, none when there is no such step
    error_accuracy    rows with a wrong step whose first one is found exactly / rows with a wrong step
    correct_accuracy  rows without a wrong step in which none is found / rows without a wrong step
    first_error_f1    2 * error_accuracy * correct_accuracy / (error_accuracy + correct_accuracy)

Zheng et al., 2024, arXiv:2412.06559, section 3.3. Where both accuracies are 0 the F1 is 0, and where the data has
rows of one sort only, the accuracy of the other is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from swift_core.contracts.checks import require_between

if TYPE_CHECKING:
    from torch import Tensor

    from swift_core.contracts.metric import Predictions

_UNLABELLED = -100.0
_NONE = 1 << 30
"""Stands for no wrong step: behind every step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstErrorF1:
    """Harmonic mean of finding first errors and of leaving right solutions alone."""

    threshold: float = 0.5
    """A step is held wrong when the probability that it is right lies below, in (0, 1)."""

    eats: ClassVar[Literal["predictions"]] = "predictions"
    families: ClassVar[tuple[str, ...]] = ("StepOutputs",)

    def __post_init__(self) -> None:
        require_between(0.0, 1.0, threshold=self.threshold)
        if not self.threshold:
            raise ValueError("threshold must be in (0, 1), got 0.0")

    def preprocess_logits(self, logits: Tensor, labels: Tensor, /) -> Tensor:
        """Return the probability that a step that ends at a token is right, [batch, time, 2] -> [batch, time]."""
        return logits.softmax(-1)[..., 1]

    def compute(self, evaluation: Predictions, /) -> dict[str, float]:
        """Return the three figures, in [0, 1]; raise ValueError when no row has a labelled step."""
        found = {True: [0, 0], False: [0, 0]}  # has an error -> rows that are right, rows
        for right, labels in zip(evaluation.values, evaluation.labels, strict=True):
            labelled = labels != _UNLABELLED
            expected = _first(labelled & (labels < 0.5))
            predicted = _first(labelled & (right < self.threshold))
            for row in labelled.any(1).nonzero().flatten().tolist():
                counts = found[expected[row] != _NONE]
                counts[0] += expected[row] == predicted[row]
                counts[1] += 1
        if not found[True][1] + found[False][1]:
            raise ValueError("first_error_f1 needs held-out rows with a labelled step")
        error, correct = (counts[0] / counts[1] if counts[1] else 0.0 for counts in found.values())
        f1 = 2 * error * correct / (error + correct) if error + correct else 0.0
        return {"error_accuracy": error, "correct_accuracy": correct, "first_error_f1": f1}


def _first(marked: Tensor) -> list[int]:
    """Return the index of the first mark of each row, [batch, time] bool."""
    return [int(row.int().argmax()) if bool(row.any()) else _NONE for row in marked]
