"""Metrics: what is measured on held-out data beside the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from swift_core.contracts.reward import InferRequest

if TYPE_CHECKING:
    from torch import Tensor

    from swift_core.contracts.handover import RewardPart


@dataclass(frozen=True, slots=True)
class Generations:
    """Answers of the model to the held-out prompts."""

    infer_requests: Sequence[InferRequest]
    ground_truths: Sequence[str | None]
    expected: Sequence[str | None]
    """The data's own completion of each prompt; None where it has none."""

    columns: Mapping[str, Sequence[Any]]
    rewards: Sequence[RewardPart]
    """The rewards of the run file."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """What `preprocess_logits` kept of each held-out batch, concatenated, with the labels."""

    values: Sequence[Any]
    labels: Sequence[Any]


class Metric(Protocol):
    """A `swift.metrics` plugin, built from its options.

    One that eats predictions may declare, as a literal class attribute, `families`: the families of outputs whose
    logits it reads; left out, it reads `("TokenOutputs",)`.
    """

    eats: ClassVar[Literal["predictions", "generations"]]
    """What `compute` is given."""

    def compute(self, evaluation: Any, /) -> Mapping[str, float]:
        """Return figures by name; core logs them as `eval_NAME`."""

    def preprocess_logits(self, logits: Tensor, labels: Tensor, /) -> Tensor:
        """Reduce one batch's logits to what `compute` needs; only metrics that eat predictions have it.

        One that needs no logits has `preprocess_outputs(outputs) -> Tensor` instead, and reads the lazy outputs of its
        families as a loss does. What is returned is copied; the logits of a batch are gone before the next.
        """
