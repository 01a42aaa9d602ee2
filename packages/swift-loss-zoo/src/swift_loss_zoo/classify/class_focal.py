"""Focal loss on classes: what the classifier already knows counts for little.

    loss = -alpha[y] * (1 - p[y])^gamma * log p[y]

One class a text: p = softmax(logits), y the class. Two classes with alpha [1 - a, a] are the paper's binary form.
Several classes a text: the binary form for each class with p = sigmoid(logits), alpha[k] where it applies and
1 - alpha[k] where it does not, and the mean over classes. Lin et al., 2017, arXiv:1708.02002, eq. 5. With gamma 0 and
without alpha it is cross entropy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F

from swift_core.plugin_api import ClassOutputs, LossOutput, require_nonnegative
from swift_loss_zoo.classify._labels import per_class, require_classes

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFocal:
    """How strongly known texts are discounted, and how much each class counts."""

    gamma: float = 2.0
    """Power of one minus the probability of the label, >= 0."""

    alpha: list[float] = field(default_factory=list)
    """Factor of each class, in [0, 1], in the order of the classes; empty leaves it out."""

    needs_reference: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_nonnegative(gamma=self.gamma)
        for index, share in enumerate(self.alpha):
            if not 0 <= share <= 1:
                raise ValueError(f"alpha[{index}] must be in [0, 1], got {share}")

    def __call__(self, outputs: ClassOutputs) -> LossOutput:
        """Return one loss per text."""
        logits, labels = outputs.logits, outputs.labels
        require_classes(labels)
        alpha = per_class("alpha", self.alpha, logits) if self.alpha else None
        if labels.dim() == 2:
            return self._several(logits, labels, alpha)
        losses = self._focal(logits.log_softmax(-1).gather(-1, labels[:, None]).squeeze(-1))
        losses = losses if alpha is None else alpha[labels] * losses
        return LossOutput(losses, metrics={"accuracy": (logits.argmax(-1) == labels).float()})

    def _several(self, logits: Tensor, labels: Tensor, alpha: Tensor | None) -> LossOutput:
        applies = labels > 0.5
        losses = self._focal(F.logsigmoid(torch.where(applies, logits, -logits)))
        losses = losses if alpha is None else torch.where(applies, alpha, 1 - alpha) * losses
        return LossOutput(losses.mean(-1), metrics={"label_accuracy": ((logits > 0) == applies).float().mean(-1)})

    def _focal(self, logps: Tensor) -> Tensor:
        below_zero = logps.clamp(max=-torch.finfo(logps.dtype).tiny)  # 0^(gamma - 1) has no gradient for gamma < 1
        return -((-below_zero.expm1()) ** self.gamma) * logps
