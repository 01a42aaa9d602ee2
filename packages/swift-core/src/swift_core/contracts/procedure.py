"""Procedures: how one stage of training turns parts into a trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from transformers import Trainer

    from swift_core.contracts.handover import Parts


HEAD_FILE = "head.json"
"""Beside what was trained, where the model has a classification head: which, and its labels.

`{model_head, rows, conversations, num_labels, id2label, problem_type}`: an adapter's own files do not say it.
`conversations` says whether it was trained on texts that the chat template wrote.
"""

HEADS_IN_WORDS = {
    "causal_lm": "a language model",
    "sequence_classification": "a classifier of texts",
    "token_classification": "a classifier of tokens",
    "dual_encoder": "an encoder of images beside one of texts",
}
"""What a model with each head is."""


ROWS = ("tokens", "pairs", "unpaired", "classes", "scores", "steps", "prompts", "image_texts")
"""What rows of data can be, as procedures declare it."""


class Procedure(Protocol):
    """A `swift.trainers` plugin: usually a `transformers.Trainer` subclass whose collator and forward are its own.

    What it declares stands in its class as literals: a plan reads them from the source, before torch is imported. It
    may declare more:

    - `model_head`: which head its model has, `causal_lm` (left out), `sequence_classification`,
      `token_classification` or `dual_encoder`;
    - `samples = True`: it draws answers from an engine (`rollout.engine`);
    - `needs_reference = True`: it reads a reference model, whatever its loss reads;
    - `puts_weights = True`: it keeps weights of its own, whole, beside the model's in checkpoints;
    - `needs_teacher = True`: it needs `model.teacher_model_id`.
    """

    feeds: ClassVar[str]
    """Family of outputs that it gives to a loss: `TokenOutputs`, `PairOutputs`, ..."""

    rows: ClassVar[str]
    """What a row of data is: `tokens`, `pairs`, ... (a row kind of core)."""

    default_loss: ClassVar[str]
    """Loss of `train.loss_type: auto`."""

    @classmethod
    def build(cls, parts: Parts, /) -> Trainer:
        """Return a trainer that is ready to train."""
