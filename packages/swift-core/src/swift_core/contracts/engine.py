"""Generation engines: what answers prompts while a model is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How answers are drawn."""

    max_tokens: int = 512
    """Longest answer in tokens."""

    temperature: float = 1.0
    """0 takes the likeliest token."""

    top_p: float = 1.0
    num_answers: int = 1
    """Answers per prompt."""

    seed: int = 0
    stop_token_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rollout:
    """One answer."""

    prompt_ids: Sequence[int]
    answer_ids: Sequence[int]
    """The end of turn included when it was generated."""

    logps: Sequence[float]
    """Log-probability of each answer token under the weights that drew it, in nats."""

    finished: bool
    """False when the answer was cut at `max_tokens`."""


class Engine(Protocol):
    """A `swift.engines` plugin, built from its options."""

    def generate(self, prompts: Sequence[Sequence[int]], params: SamplingParams, /) -> Sequence[Sequence[Rollout]]:
        """Return `params.num_answers` answers per prompt, in the order of the prompts."""

    def update_weights(self, weights: Mapping[str, Tensor], version: int, /) -> None:
        """Take over changed weights by name; answers drawn afterwards come from them."""

    def close(self) -> None:
        """Free what the engine holds."""
