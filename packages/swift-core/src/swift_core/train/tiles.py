"""The log-probability kernel of a plain linear head: tiles of tokens times vocabulary, with a gradient of its own.

Blocks of the head's rows are visited once; every tile of logits lives in one reused buffer. A running softmax keeps the
largest logit m and s = sum exp(z - m) of each token, and rescales what was summed when m grows, as in Milakov and
Gimelshein, 2018, arXiv:1805.02867. The gradient of logp[i] by the adjusted logits is onehot(y[i]) - p[i].

A trained head: the backward pass forms each tile again, three products more. A frozen head (adapters): the gradient by
the hidden state is W[y] - E_p[W], and the running softmax sums E_p[W] beside s, so that the forward pass costs two
products and the backward pass none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from swift_core.train.adjustment import Adjustment

TILE_ROWS = 1024
"""Tokens of a tile, at most."""

CACHED_ELEMENTS = 1 << 19
"""Logits of a tile on a CPU: 2 MiB in float32, a second-level cache."""

DEVICE_ELEMENTS = 1 << 25
"""Logits of a tile elsewhere: 128 MiB in float32, enough to keep an accelerator busy."""

CALLED_ELEMENTS = 1 << 24
"""Logits formed at a time by a head that has to be called: 64 MiB in float32."""

_BELOW_ALL = -1e30
"""Start of a running maximum; its differences stay finite."""


def scores(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    labels: Tensor,
    adjust: Adjustment,
    asked: frozenset[str],
    reference_hidden: Tensor | None,
) -> tuple[Tensor, dict[str, Tensor], Tensor | None]:
    """Return log-probabilities, the statistics asked for, and the reference's log-probabilities: see `token_scores`."""
    names = sorted(asked)
    logps, *others = cast("Any", _Scores).apply(hidden, weight, bias, labels, reference_hidden, adjust, names)
    return logps, dict(zip(names, others, strict=False)), others[-1] if reference_hidden is not None else None


class RunningSoftmax:
    """What is known of each token's distribution after some blocks of the vocabulary."""

    def __init__(self, labels: Tensor, asked: frozenset[str] = frozenset()) -> None:
        """Start before the first block."""
        zeros = torch.zeros(len(labels), dtype=torch.float32, device=labels.device)
        self._labels, self._asked = labels, asked
        self._largest, self._total = zeros + _BELOW_ALL, zeros.clone()
        self.label_logits = zeros.clone()
        self._weighted = zeros.clone() if "entropies" in asked else None
        self._squares = zeros.clone() if "log_sum_p2" in asked else None

    def absorb_(self, logits: Tensor, rows: slice, first_column: int) -> tuple[Tensor, Tensor]:
        """Take in logits of some tokens and a block of the vocabulary; they are overwritten.

        Returns:
            exp(z - m), [token, column], in the place of the logits, and the factor, [token], by which sums of earlier
            blocks shrink.
        """
        inside, places = _in_block(self._labels[rows], first_column, logits.shape[1])
        self.label_logits[rows] += logits.gather(1, places[:, None]).squeeze(1).where(inside, 0.0)
        before, total = self._largest[rows], self._total[rows]
        largest = torch.maximum(before, logits.amax(1))
        shrink = (before - largest).exp_()
        logits.sub_(largest[:, None])
        terms = logits.exp() if self._weighted is not None else logits.exp_()
        if self._weighted is not None:
            earlier = (self._weighted[rows] + (before - largest) * total) * shrink
            self._weighted[rows] = earlier + logits.mul_(terms).sum(1)
        if self._squares is not None:
            self._squares[rows] = self._squares[rows] * shrink.square() + terms.square().sum(1)
        self._total[rows] = total * shrink + terms.sum(1)
        self._largest[rows] = largest
        return terms, shrink

    @property
    def totals(self) -> Tensor:
        """[token] sum of exp(z - m)."""
        return self._total

    def normalisers(self) -> Tensor:
        """[token] log of the sum of exp z."""
        return self._largest + self._total.log()

    def logps(self) -> Tensor:
        """[token] log-probability of the label."""
        return self.label_logits - self.normalisers()

    def statistics(self) -> dict[str, Tensor]:
        """Return what was asked for: see `logps.STATISTICS`."""
        values = {}
        if self._weighted is not None:
            values["entropies"] = self._total.log() - self._weighted / self._total
        if self._squares is not None:
            values["log_sum_p2"] = self._squares.log() - 2 * self._total.log()
        if "top1" in self._asked:
            values["top1"] = (self.label_logits >= self._largest).float()
        return values


class _Scores(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        reference_hidden: Tensor | None,
        adjust: Adjustment,
        asked: list[str],
    ) -> tuple[Tensor, ...]:
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        only_hidden = needs_hidden and not (needs_weight or needs_bias)
        dtype = _product_type(hidden.device.type, weight)
        tiling = _Tiling(hidden, weight, bias, adjust, dtype)
        policy = _Group(hidden, labels, frozenset(asked), tiling, sums_weights=only_hidden)
        groups = [policy]
        if reference_hidden is not None:
            groups.append(_Group(reference_hidden, labels, frozenset(), tiling))
        for block in tiling.blocks():
            for group in groups:
                group.absorb(block)
        if only_hidden:
            ctx.save_for_backward(policy.direction(weight))
        else:
            ctx.save_for_backward(hidden, weight, bias, labels, policy.softmax.normalisers())
        ctx.only_hidden, ctx.adjust, ctx.dtype = only_hidden, adjust, dtype
        statistics = policy.softmax.statistics()
        others = [*(statistics[name] for name in asked), *(group.softmax.logps() for group in groups[1:])]
        ctx.mark_non_differentiable(*others)
        return policy.softmax.logps(), *others

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad = grads[0]
        if ctx.only_hidden:
            (direction,) = ctx.saved_tensors
            return direction * grad[:, None].to(direction.dtype), *(None,) * 6
        hidden, weight, bias, labels, normalisers = ctx.saved_tensors
        gradients = _Gradients(hidden, weight, bias, ctx.needs_input_grad)
        tiling = _Tiling(hidden, weight, bias, ctx.adjust, ctx.dtype)
        states = hidden.to(tiling.dtype)
        for block in tiling.blocks():
            with gradients.block(block) as total:
                for rows in tiling.rows:
                    delta = block.delta(states[rows], labels[rows], normalisers[rows], grad[rows])
                    gradients.add(delta, states, rows, block, total)
        return *gradients.finished(), *(None,) * 4


class _Group:
    """Tokens of one model on their way through the head."""

    def __init__(
        self, hidden: Tensor, labels: Tensor, asked: frozenset[str], tiling: _Tiling, *, sums_weights: bool = False
    ) -> None:
        self._tiling, self._labels, self._type = tiling, labels, hidden.dtype
        self._hidden = hidden.to(tiling.dtype)
        self.softmax = RunningSoftmax(labels, asked)
        self._expected = torch.zeros_like(hidden, dtype=torch.float32) if sums_weights else None

    def absorb(self, block: _Block) -> None:
        """Take in a block of the vocabulary for every token."""
        for rows in self._tiling.rows:
            logits = block.logits(self._hidden[rows])
            slope = block.adjust.slope(logits) if self._expected is not None else 1.0
            terms, shrink = self.softmax.absorb_(logits, rows, block.first)
            if self._expected is None:
                continue
            _add_product_(self._expected[rows].mul_(shrink[:, None]), _scaled_(terms, slope), block.weight)

    def direction(self, weight: Tensor) -> Tensor:
        """Return the gradient of each log-probability by its hidden state, [token, hidden]."""
        assert self._expected is not None
        expected = self._expected.div_(self.softmax.totals[:, None])
        slope = self._tiling.adjust.slope(self.softmax.label_logits)
        own = weight[self._labels].float()
        own = own * (slope if isinstance(slope, float) else slope[:, None])
        return own.sub_(expected).to(self._type)


@dataclass(frozen=True, slots=True)
class _Block:
    """Some consecutive rows of the head's weight."""

    first: int
    weight: Tensor
    bias: Tensor | None
    adjust: Adjustment
    buffer: Tensor

    def logits(self, hidden: Tensor) -> Tensor:
        """Return float32 adjusted logits, [token, column], in the buffer that the next call uses again."""
        shape = (len(hidden), len(self.weight))
        out = self.buffer[: shape[0] * shape[1]].view(shape)
        if self.weight.dtype == torch.float32:
            torch.mm(hidden, self.weight.T, out=out)
        else:
            out.copy_(hidden @ self.weight.T)
        if self.bias is not None:
            out.add_(self.bias)
        return self.adjust.apply_(out)

    def delta(self, hidden: Tensor, labels: Tensor, normalisers: Tensor, grad: Tensor) -> Tensor:
        """Return the gradient by the head's output, grad * (onehot(label) - p) * slope, in the same buffer."""
        delta = self.logits(hidden)
        slope = self.adjust.slope(delta)
        inside, places = _in_block(labels, self.first, delta.shape[1])
        delta.sub_(normalisers[:, None]).exp_().mul_(-grad[:, None])
        delta.scatter_add_(1, places[:, None], grad.where(inside, 0.0)[:, None])
        return _scaled_(delta, slope)

    @property
    def columns(self) -> slice:
        """Its place in the vocabulary."""
        return slice(self.first, self.first + len(self.weight))


def _product_type(device: str, weight: Tensor) -> torch.dtype:
    """Return autocast's type, or else the head's own."""
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype


class _Tiling:
    """How tokens times vocabulary are cut."""

    def __init__(
        self, hidden: Tensor, weight: Tensor, bias: Tensor | None, adjust: Adjustment, dtype: torch.dtype
    ) -> None:
        device = hidden.device.type
        self.dtype = dtype
        self.adjust, self._weight, self._bias = adjust, weight, bias
        num_chunks = max(1, -(-len(hidden) // TILE_ROWS))
        size = max(1, -(-len(hidden) // num_chunks))
        self.rows = [slice(start, start + size) for start in range(0, len(hidden), size)]
        elements = CACHED_ELEMENTS if device == "cpu" else DEVICE_ELEMENTS
        self._columns = min(len(weight), max(1, elements // size))
        self._buffer = torch.empty(size * self._columns, dtype=torch.float32, device=hidden.device)

    def blocks(self) -> Iterator[_Block]:
        """Yield every block of the vocabulary once."""
        for start in range(0, len(self._weight), self._columns):
            columns = slice(start, start + self._columns)
            bias = None if self._bias is None else self._bias[columns].float()
            yield _Block(start, self._weight[columns].to(self.dtype), bias, self.adjust, self._buffer)


class _Gradients:
    """The gradients of hidden states, weight and bias as they are summed; only those that are needed."""

    def __init__(self, hidden: Tensor, weight: Tensor, bias: Tensor | None, needs: tuple[bool, ...]) -> None:
        self._hidden_type = hidden.dtype
        self._hidden = torch.zeros_like(hidden, dtype=torch.float32) if needs[0] else None
        self._weight = torch.empty_like(weight) if needs[1] else None
        self._bias = torch.zeros_like(bias, dtype=torch.float32) if bias is not None and needs[2] else None
        self._bias_type = None if bias is None else bias.dtype

    @contextmanager
    def block(self, block: _Block) -> Iterator[Tensor | None]:
        """Give the float32 sum of the weight's gradient in `block`, and keep it in the weight's type."""
        if self._weight is None:
            yield None
            return
        own = self._weight[block.columns]
        total = own.zero_() if own.dtype == torch.float32 else torch.zeros_like(own, dtype=torch.float32)
        yield total
        if total is not own:
            own.copy_(total)

    def add(self, delta: Tensor, states: Tensor, rows: slice, block: _Block, total: Tensor | None) -> None:
        """Add one tile's share, from the gradient by the head's output, [token, column]."""
        if self._bias is not None:
            self._bias[block.columns] += delta.sum(0)
        if self._hidden is not None:
            _add_product_(self._hidden[rows], delta, block.weight)
        if total is not None:
            _add_product_(total, delta.T, states[rows])

    def finished(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Return them in the types of what they belong to."""
        hidden = None if self._hidden is None else self._hidden.to(self._hidden_type)
        bias = None if self._bias is None else self._bias.to(cast("torch.dtype", self._bias_type))
        return hidden, self._weight, bias


def _in_block(labels: Tensor, first: int, size: int) -> tuple[Tensor, Tensor]:
    """Return which labels lie in a block of the vocabulary, [token], and their columns in it, any where they do not."""
    places = labels - first
    return (places >= 0) & (places < size), places.clamp(0, size - 1)


def _scaled_(values: Tensor, slope: Tensor | float) -> Tensor:
    return values if isinstance(slope, float) and slope == 1.0 else values.mul_(slope)


def _add_product_(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add left @ right to `total`; the product is formed in the type of `right`."""
    if right.dtype == total.dtype:
        total.addmm_(left.to(right.dtype), right)
    else:
        total.add_(left.to(right.dtype) @ right)
