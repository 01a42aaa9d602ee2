"""The lazy outputs that losses read, made from one micro-batch."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from swift_core.contracts.loss import PairOutputs, TokenOutputs
from swift_core.train.logps import STATISTICS, HeadCall, token_scores
from swift_core.train.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from swift_core.train.forward import OutputHead

IGNORED = -100
TILE_ELEMENTS = 1 << 24
"""Logits of a tile for losses that read them: 64 MiB in float32."""


class LaidOut(Protocol):
    """A micro-batch as the model sees it, when that is not row by row: packed, or with shared prefixes."""

    inputs: Mapping[str, Tensor]
    """What the model is given, [line, width, ...]."""

    places: Tensor
    """[batch, time] place of each token of the batch in the flattened lines."""


class ScoredTokens:
    """Which tokens of a micro-batch are scored, and what a model says of them, computed when it is first read.

    Position t of a row predicts token t + 1, so the first token of a row is never scored. The model's forward pass runs
    once, and computes inside its head what is read first and what was read of the last micro-batch.
    """

    def __init__(
        self,
        head: OutputHead,
        model: nn.Module,
        batch: Mapping[str, Tensor],
        *,
        laid_out: LaidOut | None = None,
        reference: Callable[[], Tensor] | None = None,
        before: Callable[[], object] | None = None,
        reader: str = "policy",
    ) -> None:
        """Keep what is needed; nothing runs before it is read.

        Args:
            head: The head of `model`.
            model: The model, wrapped or not.
            batch: input_ids, attention_mask and labels, [batch, time].
            laid_out: How the model sees the batch; left out, it sees it as it is.
            reference: Returns [token, hidden] of a reference that has the same head; scored in the same pass.
            before: Called before the model runs: what needs memory for a while only goes before what keeps it.
            reader: Who reads; each remembers what it read of the last micro-batch. Empty remembers nothing.
        """
        self._head, self._model, self._batch = head, model, batch
        self._laid_out = laid_out or head.lay_out(batch)
        self._reference, self._before, self._reader = reference, before, reader
        following = batch["labels"][:, 1:]
        self.rows, self.times = (following != IGNORED).nonzero(as_tuple=True)
        self.labels = following[self.rows, self.times]
        self._values: dict[str, Tensor] = {}
        self._replay: Replay | None = None

    def read(self, name: str) -> Tensor:
        """Return `all_hidden`, `logps`, `reference_logps`, `token_logits`, `logits` or one of STATISTICS."""
        if not self._values:
            self._values = self._run({name} | self._expected())
        if self._reader:
            self._head.reads.setdefault(self._key, set()).add(name)  # the mode may differ from the run's
        if name not in self._values:
            self._values |= self._more(name)
        return self._values[name]

    @property
    def _key(self) -> tuple[str, bool]:
        return self._reader, torch.is_grad_enabled()

    def _expected(self) -> set[str]:
        """Return what was read of the last micro-batch, and start to note what is read of this one."""
        if not self._reader:
            return set()
        expected = self._head.reads.get(self._key, set())
        self._head.reads[self._key] = set()
        return expected

    def _run(self, names: set[str]) -> dict[str, Tensor]:
        """Run the model."""
        if self._before is not None:
            self._before()
        reference = self._reference() if self._reference is not None else None
        if self._replay is None and not self._head.call.is_whole:
            self._replay = Replay(self._batch["input_ids"])
        inputs = self._batch if self._laid_out is None else self._laid_out.inputs
        return self._head.run(self._model, inputs, lambda hidden, head: self._work(hidden, head, names, reference))

    def _more(self, name: str) -> dict[str, Tensor]:
        """Compute what nobody foresaw: from the hidden states, or, where the head is sharded, by a second run."""
        if self._head.call.is_whole:
            return self._work(self._values["all_hidden"], self._head.call, {name}, None)
        assert self._replay is not None  # a head that is sharded now was sharded before its forward pass
        with self._replay:
            again = self._run({name})
        return {name: again[name]}

    def _work(self, hidden: Tensor, head: HeadCall, names: set[str], reference: Tensor | None) -> dict[str, Tensor]:
        """Return what `names` say of the tokens, from the head's input, [batch, time, hidden]; inside the head."""
        values = {"all_hidden": hidden}
        asked = STATISTICS & names
        if asked or names & {"logps", "reference_logps"}:
            scores = token_scores(self._chosen(hidden), head, self.labels, asked=asked, reference_hidden=reference)
            values |= {"logps": scores.logps, **scores.statistics}
            if scores.reference_logps is not None:
                values["reference_logps"] = scores.reference_logps
        if "token_logits" in names:
            values["token_logits"] = head.logits(self._chosen(hidden))
        if "logits" in names:
            values["logits"] = head.logits(self._in_rows(hidden))
        return values

    def _chosen(self, hidden: Tensor) -> Tensor:
        """[batch, time, hidden] -> [token, hidden] at the scored positions."""
        places = self.rows * self._batch["labels"].shape[1] + self.times
        if self._laid_out is not None:
            places = self._laid_out.places.flatten()[places]
        return hidden.flatten(0, 1).index_select(0, places)

    def _in_rows(self, hidden: Tensor) -> Tensor:
        """Return hidden states in the order of the batch, [batch, time, hidden]."""
        return hidden if self._laid_out is None else hidden.flatten(0, 1)[self._laid_out.places]

    @property
    def head_call(self) -> HeadCall:
        """The head, for use outside the model's forward pass."""
        return self._head.call

    @property
    def hidden(self) -> Tensor:
        """[token, hidden]."""
        return self._chosen(self.read("all_hidden"))

    @property
    def logps(self) -> Tensor:
        """[token], float32."""
        return self.read("logps")

    @property
    def token_logits(self) -> Tensor:
        """[token, vocabulary], float32."""
        return self.read("token_logits")

    @property
    def logits(self) -> Tensor:
        """[batch, time, vocabulary], float32."""
        return self.read("logits")

    @property
    def weights(self) -> Tensor:
        """[token], float32: what each counts in the loss."""
        if "loss_scale" not in self._batch:
            return torch.ones(len(self.labels), device=self.labels.device)
        return self._batch["loss_scale"][:, 1:][self.rows, self.times]

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
            "weights": lambda: tokens.weights,
            "rows": lambda: tokens.rows,
            "labels": lambda: tokens.labels,
            "hidden": lambda: tokens.hidden,
            "token_logits": lambda: tokens.token_logits,
            "logits": lambda: tokens.logits,
            "entropies": lambda: tokens.read("entropies"),
            "top1": lambda: tokens.read("top1"),
            "log_sum_p2": lambda: tokens.read("log_sum_p2"),
            "tiles": lambda: _tiles(tokens),
        }
    )


def _tiles(tokens: ScoredTokens) -> list[Callable[[], TokenOutputs]]:
    """Return makers of tiles of tokens, for losses that read logits; the model itself runs once."""
    head = tokens.head_call
    if not head.is_whole:  # its weights are here in the model's forward pass alone
        return [lambda: token_outputs(tokens)]
    tokens.read("all_hidden")
    size = max(1, TILE_ELEMENTS // head.vocabulary)
    spans = [slice(start, start + size) for start in range(0, len(tokens.labels), size)]

    def maker(span: slice) -> Callable[[], TokenOutputs]:
        return lambda: TokenOutputs(
            {
                "token_logits": lambda: head.logits(tokens.hidden[span]),
                "logps": lambda: tokens.logps[span],
                "hidden": lambda: tokens.hidden[span],
                **{name: partial(_part, tokens, name, span) for name in ("labels", "rows", "weights")},
            }
        )

    return [maker(span) for span in spans]


def _part(tokens: ScoredTokens, name: str, span: slice) -> Tensor:
    value: Tensor = getattr(tokens, name)
    return value[span]


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
    for half, side in ((slice(None, num_pairs), "chosen"), (slice(num_pairs, 2 * num_pairs), "rejected")):
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
        f"{side}_entropies": lambda: tokens.padded(tokens.read("entropies"))[half],
        f"{side}_top1": lambda: tokens.padded(tokens.read("top1"))[half],
        f"{side}_log_sum_p2": lambda: tokens.padded(tokens.read("log_sum_p2"))[half],
    }


def _reference_side(
    tokens: ScoredTokens, reference: Callable[[], Tensor], half: slice, side: str
) -> dict[str, Callable[[], Tensor]]:
    return {
        f"reference_{side}_logps": lambda: tokens.row_sums(reference())[half],
        f"reference_{side}_token_logps": lambda: tokens.padded(reference())[half],
    }
