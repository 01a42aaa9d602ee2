"""Process reward model: whether each step of a solution is right.

    loss = -(y * log p + (1 - y) * log(1 - p)),    p = softmax(logits)[right]

at the last token of each labelled step, y in [0, 1] how right it is. Uesato et al., 2022, arXiv:2211.14275; Lightman
et al., 2023, arXiv:2305.20050. Soft labels, such as the share of continuations that reach the answer: Wang et al.,
2023, arXiv:2312.08935, eq. 4 and its soft estimation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swift_core.plugin_api import LossOutput, StepOutputs


@dataclass(frozen=True, slots=True, kw_only=True)
class PRM:
    """Cross entropy on steps."""

    needs_reference: ClassVar[bool] = False

    def __call__(self, outputs: StepOutputs) -> LossOutput:
        """Return one loss per labelled step; `step_accuracy` is 1 where the likelier side is that of the label."""
        logps, labels = outputs.step_logits.log_softmax(-1), outputs.labels
        wrong, right = logps.unbind(-1)
        losses = -(labels * right + (1 - labels) * wrong)
        agree = ((right > wrong) == (labels > 0.5)).float()
        return LossOutput(losses, metrics={"step_accuracy": agree})
