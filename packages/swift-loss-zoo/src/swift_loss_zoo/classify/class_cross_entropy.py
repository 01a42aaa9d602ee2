"""Cross entropy on classes: the likelihood of a text's label, or of each of its labels.

One class a text, with e the label smoothing and K the number of classes:

    loss = -(1 - e) * log p[y] - e / K * sum_k log p[k],    p = softmax(logits)

Several classes a text, y[k] in {0, 1} smoothed to (1 - e) * y[k] + e / 2:

    loss = -1 / K * sum_k (y[k] * log s[k] + (1 - y[k]) * log(1 - s[k])),    s = sigmoid(logits)

Smoothing: Szegedy et al., 2016, arXiv:1512.00567, section 7.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import torch.nn.functional as F

from swift_core.plugin_api import ClassOutputs, LossOutput, require_between, require_nonnegative
from swift_loss_zoo.classify._labels import per_class, require_classes

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCrossEntropy:
    """How far to trust the labels, and which classes count more."""

    label_smoothing: float = 0.0
    """Share of the target spread over all classes, in [0, 1)."""

    class_weights: list[float] = field(default_factory=list)
    """How much each class counts, >= 0, in the order of the classes; empty counts all alike."""

    needs_reference: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_between(0.0, 1.0, label_smoothing=self.label_smoothing)
        for index, weight in enumerate(self.class_weights):
            require_nonnegative(**{f"class_weights[{index}]": weight})

    def __call__(self, outputs: ClassOutputs) -> LossOutput:
        """Return one loss per text; texts of one class are weighed by their class in the mean."""
        logits, labels = outputs.logits, outputs.labels
        require_classes(labels)
        weights = per_class("class_weights", self.class_weights, logits) if self.class_weights else None
        if labels.dim() == 2:
            return self._several(logits, labels, weights)
        losses = F.cross_entropy(logits, labels, reduction="none", label_smoothing=self.label_smoothing)
        right = (logits.argmax(-1) == labels).float()
        return LossOutput(losses, None if weights is None else weights[labels], {"accuracy": right})

    def _several(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> LossOutput:
        targets = (1 - self.label_smoothing) * labels.to(logits.dtype) + self.label_smoothing / 2
        losses = F.binary_cross_entropy_with_logits(logits, targets, weight=weights, reduction="none")
        right = ((logits > 0) == (labels > 0.5)).float().mean(-1)
        return LossOutput(losses.mean(-1), metrics={"label_accuracy": right})
