"""CLIP: each image must find its own text among all texts of the step, and each text its image (symmetric InfoNCE).

    logits[i, j] = scale * image[i] . text[j]
    loss[i] = (CE(logits[i, :], i) + CE(logits[:, i], i)) / 2

scale = exp(t), t learned; it is kept from growing beyond `max_logit_scale`. Radford et al., 2021, arXiv:2103.00020,
fig. 3 and section 2.5; van den Oord et al., 2018, arXiv:1807.03748, eq. 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from swift_core.plugin_api import ContrastiveOutputs, LossOutput, require_between, require_positive


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """How sharp the choice may become, and how sure of its own pairs the loss is."""

    max_logit_scale: float = 100.0
    """Largest factor of similarities, > 0; what the model learned beyond it is cut back after each step."""

    label_smoothing: float = 0.0
    """Share of the label that all pairs have alike, in [0, 1)."""

    needs_reference: ClassVar[bool] = False
    couples_items: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(max_logit_scale=self.max_logit_scale)
        require_between(0.0, 1.0, label_smoothing=self.label_smoothing)

    def __call__(self, outputs: ContrastiveOutputs) -> LossOutput:
        """Return one loss per pair."""
        logits = outputs.logit_scale * outputs.image_embeds @ outputs.text_embeds.T
        own = torch.arange(len(logits), device=logits.device)
        of_images = F.cross_entropy(logits, own, reduction="none", label_smoothing=self.label_smoothing)
        of_texts = F.cross_entropy(logits.T, own, reduction="none", label_smoothing=self.label_smoothing)
        found = {"image_accuracy": logits.argmax(1) == own, "text_accuracy": logits.argmax(0) == own}
        scale = outputs.logit_scale.detach().expand(len(logits))
        return LossOutput((of_images + of_texts) / 2, metrics={**found, "logit_scale": scale})
