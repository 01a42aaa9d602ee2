"""SigLIP: of every image and every text of the step it is said, each by itself, whether they belong together.

    z[i, j] = 1 if i = j else -1
    loss[i] = -sum over j of log sigmoid(z[i, j] * (scale * image[i] . text[j] + bias))

scale = exp(t); t and bias are learned by the model. Zhai et al., 2023, arXiv:2303.15343, section 3.2 and alg. 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F

from swift_core.plugin_api import ContrastiveOutputs, LossOutput


@dataclass(frozen=True, slots=True, kw_only=True)
class SigLip:
    """A yes or no for every image with every text."""

    needs_reference: ClassVar[bool] = False
    couples_items: ClassVar[bool] = True

    def __call__(self, outputs: ContrastiveOutputs) -> LossOutput:
        """Return one loss per pair: the sum over all texts of its image.

        Raises:
            ValueError: The model has no bias.
        """
        if "logit_bias" not in outputs:
            raise ValueError("the model has no logit_bias, which SigLIP models have; choose the loss clip")
        logits = outputs.logit_scale * outputs.image_embeds @ outputs.text_embeds.T + outputs.logit_bias
        own = torch.arange(len(logits), device=logits.device)
        signs = 2 * torch.eye(len(logits), device=logits.device, dtype=logits.dtype) - 1
        found = {"image_accuracy": logits.argmax(1) == own, "text_accuracy": logits.argmax(0) == own}
        scale = outputs.logit_scale.detach().expand(len(logits))
        return LossOutput(-F.logsigmoid(signs * logits).sum(1), metrics={**found, "logit_scale": scale})
