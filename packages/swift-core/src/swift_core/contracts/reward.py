"""Rewards: what an answer is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class InferRequest:
    """A prompt and what the model answered."""

    messages: Sequence[Mapping[str, Any]]
    """The conversation, the answer included as its last message when it was a chat."""

    response: str
    """The answer alone, as text."""


@dataclass(frozen=True, slots=True)
class RewardInputs:
    """What core has to offer to rewards of either dialect."""

    infer_requests: Sequence[InferRequest]
    ground_truths: Sequence[str | None]
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)


class OutcomeReward(Protocol):
    """A `swift.orms` plugin, built from its options. One float per answer; None abstains.

    Either dialect: `(infer_requests, ground_truths, **columns)` or `(completions, **columns)`.
    """

    def __call__(
        self, infer_requests: Sequence[InferRequest], ground_truths: Sequence[str], /
    ) -> Sequence[float | None]:
        """Return one score per answer; raise for data that is broken, never for an answer that is wrong."""


class ProcessReward(Protocol):
    """A `swift.prms` plugin: one float per answer, or one per step of it."""

    def __call__(self, infer_requests: Sequence[InferRequest], /) -> Sequence[float | Sequence[float]]:
        """Return the scores."""
