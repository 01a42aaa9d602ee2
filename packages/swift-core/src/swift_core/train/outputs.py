"""The lazy outputs that losses read, made from one micro-batch."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from swift_core.contracts.loss import PairOutputs, TokenOutputs
from swift_core.train.logps import selected_logps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from swift_core.train.forward import OutputHead

IGNORED = -100


class ScoredTokens:
    """Which tokens of a micro-batch are scored, and their log-probabilities under a model.

    Position t of a row predicts token t + 1, so the first token of a row is never scored.
    """

    def __init__(self, head: OutputHead, model: nn.Module, batch: Mapping[str, Tensor]) -> None:
        """Keep what is needed; nothing runs before it is read."""
        self._head, self._model, self._batch = head, model, batch
        following = batch["labels"][:, 1:]
        self.rows, self.times = (following != IGNORED).nonzero(as_tuple=True)
        self.labels = following[self.rows, self.times]

    @cached_property
    def all_hidden(self) -> Tensor:
        """[batch, time, hidden]."""
        return self._head.hidden(self._model, self._batch)

    @cached_property
    def hidden(self) -> Tensor:
        """[token, hidden]."""
        return self.all_hidden[self.rows, self.times]

    @cached_property
    def logps(self) -> Tensor:
        """[token], float32."""
        return selected_logps(self.hidden, self._head.module, self.labels, self._head.adjust)

    @property
    def token_logits(self) -> Tensor:
        """[token, vocabulary], float32."""
        return self._head.logits(self.hidden)

    @property
    def logits(self) -> Tensor:
        """[batch, time, vocabulary], float32."""
        return self._head.logits(self.all_hidden)

    def row_sums(self, values: Tensor) -> Tensor:
        """[token] -> [batch] sums by row."""
        num_rows = len(self._batch["labels"])
        return torch.zeros(num_rows, dtype=values.dtype, device=values.device).index_add(0, self.rows, values)

    def row_counts(self) -> Tensor:
        """[batch] scored tokens of each row."""
        return torch.bincount(self.rows, minlength=len(self._batch["labels"]))

    def padded(self, values: Tensor) -> Tensor:
        """[token, ...] -> [batch, longest, ...], each row's tokens from the left, zeros after."""
        counts = self.row_counts()
        starts = counts.cumsum(0) - counts
        places = torch.arange(len(self.rows), device=values.device) - starts[self.rows]
        shape = (len(counts), int(counts.max()) if len(counts) else 0, *values.shape[1:])
        return values.new_zeros(shape).index_put((self.rows, places), values)


def token_outputs(tokens: ScoredTokens) -> TokenOutputs:
    """Return what a loss on tokens may read."""
    return TokenOutputs(
        {
            "logps": lambda: tokens.logps,
            "weights": lambda: torch.ones(len(tokens.labels), device=tokens.labels.device),
            "rows": lambda: tokens.rows,
            "labels": lambda: tokens.labels,
            "hidden": lambda: tokens.hidden,
            "token_logits": lambda: tokens.token_logits,
            "logits": lambda: tokens.logits,
        }
    )


def pair_outputs(
    policy: ScoredTokens,
    margins: Tensor,
    reference: Callable[[], Tensor] | None,
    gold: ScoredTokens | None = None,
) -> PairOutputs:
    """Return what a loss on pairs may read.

    Args:
        policy: Scored tokens of a batch whose first half are chosen rows and whose second half are rejected ones.
        margins: [pair].
        reference: Returns [token] reference log-probabilities of the same tokens; None when the run has no reference.
        gold: Scored tokens of the third answers, a row a pair; None when the data has none.
    """
    num_pairs = len(margins)
    values: dict[str, Callable[[], Tensor]] = {"margins": lambda: margins}
    for half, side in ((slice(None, num_pairs), "chosen"), (slice(num_pairs, None), "rejected")):
        values |= _side(policy, half, side)
        if reference is not None:
            values |= _reference_side(policy, reference, half, side)
    if gold is not None:
        values |= {"gold_logps": lambda: gold.row_sums(gold.logps), "gold_lengths": gold.row_counts}
    return PairOutputs(values)


def _side(tokens: ScoredTokens, half: slice, side: str) -> dict[str, Callable[[], Tensor]]:
    return {
        f"{side}_logps": lambda: tokens.row_sums(tokens.logps)[half],
        f"{side}_lengths": lambda: tokens.row_counts()[half],
        f"{side}_token_logps": lambda: tokens.padded(tokens.logps)[half],
        f"{side}_logits": lambda: tokens.padded(tokens.token_logits)[half],
    }


def _reference_side(
    tokens: ScoredTokens, reference: Callable[[], Tensor], half: slice, side: str
) -> dict[str, Callable[[], Tensor]]:
    return {
        f"reference_{side}_logps": lambda: tokens.row_sums(reference())[half],
        f"reference_{side}_token_logps": lambda: tokens.padded(reference())[half],
    }
