"""Losses: what they are given, and what they give back.

    loss(outputs, labels, **context) -> LossOutput | Tensor

`outputs` is lazy: what a loss does not read is not computed. Families, by what they eat: `TokenOutputs` (stages pt and
sft), `PairOutputs` (stage dpo), `UnpairedOutputs` (stage kto), `PolicyOutputs` (stage grpo); those of classification
heads and of distillation stand in files of their own. Core looks at the signature once: `outputs` comes first, `labels`
second if there is a second positional parameter, and `loss_scale`, `num_items_in_batch` and `statistics` by name when
they are asked for.

A loss in which items depend on each other takes that dependence from means over the whole optimizer step
(`contracts/coupling.py`), never from its micro-batch: so it does not change with the split into micro-batches or the
number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from swift_core.contracts.checks import require_nonnegative

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import Self


@dataclass(frozen=True, slots=True)
class LossOutput:
    """Losses of the items of one micro-batch. Core forms the mean over the whole optimizer step, on all ranks:

    sum(losses * weights) / sum(weights)
    """

    losses: Tensor
    """[item], with gradient; an item is a trained token (TokenOutputs), a pair (PairOutputs) or a completion
    (UnpairedOutputs, PolicyOutputs)."""

    weights: Tensor | None = None
    """[item], >= 0; None weighs every item 1."""

    metrics: Mapping[str, Tensor] = field(default_factory=dict)
    """Values per item, [item], logged as their mean; NaN where an item has no such value. No gradient is kept."""


class LazyOutputs:
    """Values computed when they are first read, as an attribute or as `outputs["name"]`, and kept."""

    def __init__(self, values: Mapping[str, Callable[[], Any]]) -> None:
        """Keep `values`, name -> thunk; a value that depends on another reads it from this object inside its thunk."""
        self._thunks = dict(values)

    def __getattr__(self, name: str) -> Any:
        thunks = self.__dict__.get("_thunks", {})
        if name not in thunks:
            known = ", ".join(sorted(thunks))
            raise AttributeError(f"{type(self).__name__} has no {name!r} in this run; it has {known}")
        value = thunks[name]()
        self.__dict__[name] = value
        return value

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self, name)
        except AttributeError as error:
            raise KeyError(str(error)) from None

    def __contains__(self, name: str) -> bool:
        return name in self._thunks

    def adopt(self, values: Mapping[str, Any]) -> None:
        """Take values that were computed before, so that they are not computed again."""
        self.__dict__.update(values)

    def extended(self: Self, values: Mapping[str, Callable[[], Any]]) -> Self:
        """Return outputs with `values` too, which take the place of those of the same names."""
        return type(self)({**self._thunks, **values})

    def computed(self) -> frozenset[str]:
        """Return the names whose value was computed; for tests and reports."""
        return frozenset(self._thunks).intersection(self.__dict__)


class TiledOutputs(LazyOutputs):
    """Values of tokens that can be had a few tokens at a time, so that their logits never exist all at once."""

    first: ClassVar[str]
    """Name of a value of every token that has a gradient."""

    tiles: Sequence[Callable[[], Self]]
    """Makers of the tiles in the order of the tokens; each call makes a fresh one, so that a tile can be computed
    again. A tile has every value of the whole. Given by the procedure; losses call `map_tiles`."""

    def map_tiles(self, function: Callable[[Self], Tensor]) -> Tensor:
        """Return `function` of every tile, joined: [token].

        Args:
            function: Returns one number for each token of the tile it is given; it must not depend on other tokens,
                and draw no random numbers. It is called again in the backward pass.
        """
        import torch
        from torch.utils.checkpoint import checkpoint

        def made(make: Callable[[], Self]) -> Tensor:
            return function(make())

        parts = [checkpoint(made, make, use_reentrant=False, preserve_rng_state=False) for make in self.tiles]
        if not parts:
            nothing: Tensor = getattr(self, self.first) * 0
            return nothing
        return torch.cat(parts)


class TokenOutputs(TiledOutputs):
    """What a loss on tokens may read. `token` runs over the trained tokens of the micro-batch, row by row."""

    first: ClassVar[str] = "logps"

    logps: Tensor
    """[token] log-probability of each trained token, in nats."""

    weights: Tensor
    """[token] weight of each trained token (`loss_scale`); ones when there is none."""

    rows: Tensor
    """[token] row of the micro-batch each trained token belongs to."""

    labels: Tensor
    """[token] id of each trained token."""

    hidden: Tensor
    """[token, hidden] input of the output head at each scored position."""

    token_logits: Tensor
    """[token, vocabulary] logits at the scored positions."""

    logits: Tensor
    """[batch, time, vocabulary] logits of the whole micro-batch, not shifted. Costs what its shape says."""

    entropies: Tensor
    """[token] entropy of the model's distribution at each trained token, in nats, without gradient. This and the next
    two come with `logps`, without further logits."""

    top1: Tensor
    """[token] 1.0 where no other token was likelier than the label, else 0.0."""

    log_sum_p2: Tensor
    """[token] log of the sum of squared probabilities over the vocabulary, without gradient."""


class PairOutputs(LazyOutputs):
    """What a loss on pairs may read. Sums run over the completion's tokens, the end of turn included."""

    chosen_logps: Tensor
    """[pair] summed log-probability of the chosen completion, in nats."""

    rejected_logps: Tensor
    """[pair]"""

    reference_chosen_logps: Tensor
    """[pair] the same under the reference model, without gradient."""

    reference_rejected_logps: Tensor
    """[pair]"""

    chosen_lengths: Tensor
    """[pair] tokens of the chosen completion."""

    rejected_lengths: Tensor
    """[pair]"""

    chosen_token_logps: Tensor
    """[pair, time] log-probabilities of the chosen completion's tokens, 0 past its end."""

    rejected_token_logps: Tensor
    """[pair, time]"""

    reference_chosen_token_logps: Tensor
    """[pair, time]"""

    reference_rejected_token_logps: Tensor
    """[pair, time]"""

    chosen_logits: Tensor
    """[pair, time, vocabulary] logits that predict the chosen completion's tokens."""

    rejected_logits: Tensor
    """[pair, time, vocabulary]"""

    margins: Tensor
    """[pair] the data's `margin` column; zeros when there is none."""

    chosen_log_sum_p2: Tensor
    """[pair, time] log of the sum of squared probabilities over the vocabulary at each place of the chosen completion,
    without gradient; 0 past its end. It comes with `chosen_token_logps`, without further logits."""

    rejected_log_sum_p2: Tensor
    """[pair, time]"""

    chosen_entropies: Tensor
    """[pair, time] entropy in nats at each place of the chosen completion, without gradient; 0 past its end."""

    rejected_entropies: Tensor
    """[pair, time]"""

    chosen_top1: Tensor
    """[pair, time] 1.0 where no other token was likelier than the completion's, else 0.0; 0 past its end."""

    rejected_top1: Tensor
    """[pair, time]"""

    gold_logps: Tensor
    """[pair] summed log-probability of the answer that the data's `reference` column gives; only with that column."""

    gold_lengths: Tensor
    """[pair] tokens of that answer."""


class UnpairedOutputs(LazyOutputs):
    """What a loss on labelled completions may read. Each row is a prompt with one completion, wanted or not."""

    logps: Tensor
    """[row] summed log-probability of the completion, in nats, the end of turn included."""

    reference_logps: Tensor
    """[row] the same under the reference model, without gradient."""

    lengths: Tensor
    """[row] tokens of the completion."""

    token_logps: Tensor
    """[row, time] log-probabilities of the completion's tokens, 0 past its end."""

    reference_token_logps: Tensor
    """[row, time]"""

    desirable: Tensor
    """[row] bool, whether the completion is wanted."""

    kl_logps: Tensor
    """[row] summed log-probability of a completion to another prompt after this row's prompt, without gradient."""

    reference_kl_logps: Tensor
    """[row] the same under the reference model."""


class PolicyOutputs(LazyOutputs):
    """What a loss on sampled completions may read. Each row is one completion, its tokens from the left."""

    logps: Tensor
    """[row, time] log-probabilities of the completion's tokens, in nats; any value where `mask` is False."""

    old_logps: Tensor
    """[row, time] the same under the policy that sampled them, without gradient."""

    reference_logps: Tensor
    """[row, time] the same under the reference model, without gradient."""

    advantages: Tensor
    """[row, time] advantage of each token; methods that score whole completions repeat one value along the row."""

    mask: Tensor
    """[row, time] bool, True on the tokens that are trained."""

    max_length: int
    """Tokens that a completion may have in this run."""

    values: Tensor
    """[row, time] what the value function says before each token, with gradient."""

    old_values: Tensor
    """[row, time] the same when the completion was sampled, without gradient."""

    returns: Tensor
    """[row, time] what the value function should say."""


class Loss(Protocol):
    """A `swift.losses` plugin, built from its options.

    It may declare, as class attributes whose values are literals (they are read from its source):

    - `needs_reference = True`: it reads a `reference_` value, so a reference model is needed. The class says whether
      any of its options makes it read one; an instance whose options do not may say False (set it in its constructor),
      and then none is loaded;
    - `needs_columns = ("margin",)`: columns that every row of its data must have; an instance may need fewer;
    - `needs_mismatched = True`: it reads a `kl_` value, so rows need completions to other prompts;
    - `couples_items = True`: one item's loss depends on others, of the micro-batch or (by `statistics`) of the step;
    - `advantages = "group"`: what a loss on sampled answers compares rewards with where `rollout.advantages` is auto:
      `group`, `group_mean`, `batch`, `leave_one_out`, `beta` or `none`;
    - `learns_numbers = True`: it takes labels of texts as numbers and not as classes;
    - `stops_gradient = True`: a part of its value is constant in the gradient; the value need not fall in training.

    Where items are coupled by means, it has more methods (`contracts/coupling.py`), and core keeps the coupling right.
    """

    def __call__(self, outputs: Any, /) -> LossOutput | Tensor:
        """Return losses per item; a scalar is taken as the mean of the micro-batch.

        A scalar from a loss that asks for `num_items_in_batch` is taken as already divided by it.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class LossTerm:
    """A loss by its name, inside the options of another that is made of it."""

    name: str
    """Name of the loss, as in `train.loss_type`."""

    weight: float = 1.0
    """What its losses are multiplied by, >= 0."""

    kwargs: dict[str, Any] = field(default_factory=dict)
    """Its options."""

    def __post_init__(self) -> None:
        require_nonnegative(weight=self.weight)


_term_builder: ContextVar[Callable[[LossTerm], Any] | None] = ContextVar("term_builder", default=None)


@contextmanager
def building_terms(builder: Callable[[LossTerm], Any], *, outermost: bool = False) -> Iterator[None]:
    """Let `build_term` look losses up with `builder` inside the block; `outermost`: unless it already has one."""
    if outermost and _term_builder.get():
        yield
        return
    token = _term_builder.set(builder)
    try:
        yield
    finally:
        _term_builder.reset(token)


def build_term(term: LossTerm) -> Any:
    """Return the loss that `term` names, built with its options. Call it in the constructor of a loss.

    Raises:
        ValueError: When the constructor was not called by core, which knows what is installed and allowed.
    """
    builder = _term_builder.get()
    if builder is None:
        raise ValueError(f"the loss {term.name!r} is named, and names are looked up by core: choose it in a run file")
    return builder(term)
