"""Accuracy on held-out rows: how often the likeliest next token is the right one, at trained positions only.

    token_accuracy     right tokens / trained tokens
    sequence_accuracy  rows with every trained token right / rows with a trained token

Each token is predicted from the true tokens before it, not from the model's own. In the stage seq_cls:

    accuracy           rows whose likeliest class is their label / rows
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from swift_core.contracts.metric import Predictions


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Share of right tokens, and of rows with nothing but right tokens; of a classifier, share of right rows."""

    eats: ClassVar[Literal["predictions"]] = "predictions"
    families: ClassVar[tuple[str, ...]] = ("TokenOutputs", "ClassOutputs")

    def preprocess_logits(self, logits: Tensor, labels: Tensor, /) -> Tensor:
        """Return the likeliest next token at every position, or class of every row: the last dimension goes."""
        return logits.argmax(dim=-1)

    def compute(self, evaluation: Predictions, /) -> dict[str, float]:
        """Return the shares, in [0, 1].

        Raises:
            ValueError: No row has a trained token, or a row has several classes or a number.
        """
        if any(labels.is_floating_point() for labels in evaluation.labels):
            raise ValueError("acc needs one class a row; macro_f1 takes several")
        if evaluation.labels and evaluation.labels[0].dim() == 1:
            return _of_classes(evaluation)
        num_right = num_tokens = num_right_rows = num_rows = 0
        for predicted, labels in zip(evaluation.values, evaluation.labels, strict=True):
            trained = labels[:, 1:] != -100
            right = (predicted[:, :-1] == labels[:, 1:]) & trained
            has_trained = trained.any(dim=1)
            num_right += int(right.sum())
            num_tokens += int(trained.sum())
            num_right_rows += int(((right == trained).all(dim=1) & has_trained).sum())
            num_rows += int(has_trained.sum())
        if not num_tokens:
            raise ValueError("acc needs held-out rows with a trained token")
        return {"token_accuracy": num_right / num_tokens, "sequence_accuracy": num_right_rows / num_rows}


def _of_classes(evaluation: Predictions) -> dict[str, float]:
    pairs = list(zip(evaluation.values, evaluation.labels, strict=True))
    num_right = sum(int((predicted == labels).sum()) for predicted, labels in pairs)
    return {"accuracy": num_right / sum(len(labels) for _, labels in pairs)}
