"""F1 of each class on held-out rows, and their mean, which counts rare classes like frequent ones.

    F1[k] = 2 * right[k] / (predicted[k] + labelled[k]),    macro_f1 = mean over the classes that occur

right[k] counts rows that are predicted as k and are k. A class occurs when it is predicted or labelled somewhere.
Opitz and Burst, 2019, arXiv:1911.03347, eq. 1 (the mean of F1 scores, not the F1 of means).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from swift_core.contracts.metric import Predictions


@dataclass(frozen=True, slots=True, kw_only=True)
class MacroF1:
    """Mean F1 over classes, and the share of rows that are right in all."""

    eats: ClassVar[Literal["predictions"]] = "predictions"
    families: ClassVar[tuple[str, ...]] = ("ClassOutputs",)

    def preprocess_logits(self, logits: Tensor, labels: Tensor, /) -> Tensor:
        """Return the likeliest class, [row]; for rows of several classes all likelier than not, [row, class] bool."""
        return logits > 0 if labels.dim() == 2 else logits.argmax(-1)

    def compute(self, evaluation: Predictions, /) -> dict[str, float]:
        """Return `accuracy` and `macro_f1`, both in [0, 1]; raise ValueError for labels that are numbers."""
        import torch
        import torch.nn.functional as F

        predicted, labelled = torch.cat(list(evaluation.values)), torch.cat(list(evaluation.labels))
        if labelled.dim() == 1:
            if labelled.is_floating_point():
                raise ValueError("macro_f1 needs classes, and the labels are numbers")
            num_classes = 1 + int(torch.maximum(predicted, labelled).max())
            predicted, labelled = (F.one_hot(classes, num_classes) for classes in (predicted, labelled))
        predicted, labelled = predicted.bool(), labelled > 0.5
        right = (predicted & labelled).sum(0).double()
        total = predicted.sum(0).double() + labelled.sum(0).double()
        occurs = total > 0
        f1 = 2 * right[occurs] / total[occurs]
        accuracy = (predicted == labelled).all(-1).double().mean()
        return {"accuracy": float(accuracy), "macro_f1": float(f1.mean()) if len(f1) else 0.0}
