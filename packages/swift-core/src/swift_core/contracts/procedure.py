"""Procedures: how one stage of training turns parts into a trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    from transformers import Trainer

    from swift_core.contracts.handover import Parts


HEAD_FILE = "head.json"
"""Beside what was trained, where the model has a classification head: which, and its labels.

`{model_head, rows, conversations, num_labels, id2label, problem_type}`: an adapter's own files do not say it.
`conversations` says whether it was trained on texts that the chat template wrote.
"""


class Procedure(Protocol):
    """A `swift.trainers` plugin: usually a `transformers.Trainer` subclass whose collator and forward are its own.

    What it declares stands in its class as literals: a plan reads them from the source, before torch is imported.
    """

    feeds: ClassVar[str]
    """Family of outputs that it gives to a loss: `TokenOutputs`, `PairOutputs`, ..."""

    rows: ClassVar[str]
    """What a row of data is: `tokens`, `pairs`, ... (a row kind of core)."""

    model_head: ClassVar[Literal["causal_lm", "sequence_classification", "token_classification"]]
    """Which head its model has; left out, a causal language model's."""

    samples: ClassVar[bool]
    """Whether it draws answers from an engine (`rollout.engine`); left out, it does not."""

    needs_reference: ClassVar[bool]
    """Whether it reads a reference model whatever its loss reads; left out, it does not."""

    needs_teacher: ClassVar[bool]
    """Whether it needs `model.teacher_model_id`; left out, it does not."""

    default_loss: ClassVar[str]
    """Loss of `train.loss_type: auto`."""

    @classmethod
    def build(cls, parts: Parts, /) -> Trainer:
        """Return a trainer that is ready to train."""
