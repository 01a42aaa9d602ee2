"""What losses on classification heads may read: classes of a text, scores of answers, and how right each step is.

The head's logits are few, so that they are all there. All of them are float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.contracts.loss import LazyOutputs

if TYPE_CHECKING:
    from torch import Tensor


class ClassOutputs(LazyOutputs):
    """What a loss on classes may read (stage seq_cls). `row` runs over the texts of the micro-batch."""

    logits: Tensor
    """[row, class] logits at the last token of each text."""

    labels: Tensor
    """What the data says: [row] int64, the class, of data with one class a text; [row, class] float32, 1 for each class
    that applies, of data with several; [row] float32 of data with numbers."""


class ScoreOutputs(LazyOutputs):
    """What a loss on scored answers may read (stage rm). A score is the head's one output at the last token."""

    chosen_scores: Tensor
    """[pair] score of the chosen answer."""

    rejected_scores: Tensor
    """[pair]"""

    margins: Tensor
    """[pair] the data's `margin` column; zeros when there is none."""


class StepOutputs(LazyOutputs):
    """What a loss on steps may read (stage prm). `step` runs over the labelled steps of the micro-batch, row by row."""

    step_logits: Tensor
    """[step, 2] logits of wrong and right at the last token of each labelled step."""

    labels: Tensor
    """[step] float32 in [0, 1]: how right the step is; data with true and false has 1 and 0."""

    rows: Tensor
    """[step] row of the micro-batch each step belongs to."""

    logits: Tensor
    """[batch, time, 2] logits at every token."""
