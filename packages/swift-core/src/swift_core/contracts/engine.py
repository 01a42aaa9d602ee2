"""Generation engines: what answers prompts while a model is trained, and for `swift sample`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How answers are drawn."""

    max_tokens: int = 512
    """Longest answer in tokens."""

    temperature: float = 1.0
    """0 takes the likeliest token."""

    top_p: float = 1.0
    """Draw from the likeliest tokens that together have this probability; 1 draws from all."""

    top_k: int = 0
    """Draw from so many of the likeliest tokens; 0 draws from all."""

    num_answers: int = 1
    """Answers per prompt."""

    seed: int = 0
    """Of what is drawn: the same seed, prompts and weights give the same answers."""

    seeds: tuple[int, ...] = ()
    """One for each prompt, where its answers shall be the same whatever is drawn beside them, on any process."""

    stop_token_ids: tuple[int, ...] = ()
    """Tokens that end an answer; the one that did is part of it."""

    def seed_of(self, prompt: int, answer: int = 0) -> int:
        """Return the seed of one answer, by the places of its prompt and of itself among those of the prompt."""
        return (self.seeds[prompt] if self.seeds else self.seed + prompt * self.num_answers) + answer


@dataclass(frozen=True, slots=True)
class Rollout:
    """One answer."""

    prompt_ids: Sequence[int]
    answer_ids: Sequence[int]
    """The end of turn included when it was generated."""

    finished: bool
    """False when the answer was cut at `max_tokens`."""

    logps: Sequence[float] | None = None
    """Log-probability of each answer token under the weights that drew it, in nats, where the engine tells it."""

    trained: Sequence[bool] | None = None
    """Which answer tokens the model wrote itself; None: all. Between the turns of an answer stand those of others."""

    messages: Sequence[Mapping[str, Any]] = ()
    """The turns of an answer that may have several, the model's and those of others; empty where it has but one."""


class Engine(Protocol):
    """A `swift.engines` plugin, built from its options. It may have `attach(model, pad_token_id)`.

    One that has it answers with the trained model itself, which core hands over once before the first prompt. One that
    has not is given the weights by `update_weights` whenever they changed; where nothing is trained, core loads no
    model for it. It may have `open(folder)`, called once with the folder of the model to load, and
    `use_encoder(encoder)`, called once with the model's tokenizer. One that cannot take over weights says so with the
    class variable `takes_weights = False` and serves no stage that trains; `needs_package = "vllm"` names a package
    that must be there. Where weights are only taken with an option, `takes_weights` is the option's name. With
    `serves_all = True` one of several processes hands the weights over, and all draw from them.
    """

    def generate(self, prompts: Sequence[Sequence[int]], params: SamplingParams, /) -> Sequence[Sequence[Rollout]]:
        """Return `params.num_answers` answers per prompt, in the order of the prompts."""

    def update_weights(self, weights: Mapping[str, Tensor], version: int, /) -> None:
        """Take over changed weights by name; answers drawn afterwards come from them."""

    def close(self) -> None:
        """Free what the engine holds."""


class AttachableEngine(Engine, Protocol):
    """An engine that answers with the model that is trained."""

    def attach(self, model: PreTrainedModel, pad_token_id: int, /) -> None:
        """Take the model; its weights are read where they lie."""
