"""Forward passes over segments instead of padded rows, and the proof that they say the same.

A model can do it, or cannot, and this is proved before training on the longest rows: hidden states are those of padded
rows, and those of one row do not change with the tokens of another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from swift_core.train.segments import Layout, layout_of
from swift_core.train.ways import Way, ways_for

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from swift_core.train.forward import OutputHead

Batch = Mapping[str, Tensor]
EQUAL = 1e-4
EQUAL_IN_16_BITS = 5e-2
"""Largest difference of hidden states to those of padded rows, as a share of the largest hidden state."""

APART = 1e-5
APART_IN_16_BITS = 1e-2
"""Largest change by the tokens of another row; kernels that sort tokens by expert round in another order."""


@dataclass(frozen=True, slots=True)
class LaidOut:
    """A micro-batch in lines of segments."""

    inputs: Mapping[str, Any]
    """What the model is given: input_ids and position_ids, [line, width], and what its attention must know."""

    places: Tensor
    """[batch, time] place of each token of the batch in the flattened lines."""


class Isolation:
    """Lays micro-batches out in segments that a model keeps apart."""

    def __init__(self, way: Way, dtype: torch.dtype, *, shares: bool) -> None:
        """Keep segments apart in `way`, for a model of type `dtype`; `shares`: compute a common prefix once."""
        self.way = way
        self._dtype, self._shares = dtype, shares
        self._last: tuple[Tensor, LaidOut] | None = None

    def lay_out(self, batch: Batch) -> LaidOut:
        """Return `batch` in segments; policy and reference share what is made for the last one."""
        ids = batch["input_ids"]
        if self._last is None or self._last[0] is not ids:
            self._last = ids, self.filled(self.layout(batch), ids)
        return self._last[1]

    def layout(self, batch: Batch) -> Layout:
        """Return where the tokens of `batch` stand."""
        lengths = batch["attention_mask"].sum(1).tolist()
        lines = batch["lines"].tolist() if "lines" in batch else range(len(lengths))
        return layout_of(batch["input_ids"].cpu(), lengths, lines, shares=self._shares, one_line=self.way.one_line)

    def filled(self, layout: Layout, ids: Tensor) -> LaidOut:
        """Return `layout` with the tokens [batch, time] in it."""
        inputs = {
            "input_ids": ids.flatten()[layout.sources.clamp(min=0).to(ids.device)],
            "position_ids": layout.positions.to(ids.device),
            **self.way.inputs(layout, ids.device, self._dtype),
        }
        return LaidOut(inputs, layout.places.to(ids.device))


@torch.no_grad()
def flaw(isolation: Isolation, model: PreTrainedModel, head: OutputHead, batch: Batch, expected: Tensor) -> str:
    """Return what is wrong with `isolation`, in words; empty when nothing is.

    Args:
        isolation: What is tried.
        model: The model, in its evaluation mode.
        head: Its head.
        batch: Several rows, two of them in one line.
        expected: [batch, time, hidden] hidden states of the padded rows.
    """
    used = batch["attention_mask"].bool()
    full = expected.dtype == torch.float32
    scale = max(_largest(expected, used), 1e-6)
    layout = isolation.layout(batch)
    ours = _hidden(head, model, isolation.filled(layout, batch["input_ids"]))
    if not (difference := _largest(ours - expected, used) / scale) <= (EQUAL if full else EQUAL_IN_16_BITS):
        return f"its hidden states are not those of rows that stand alone (they differ by {difference:.2g} of them)"
    affected, changed = _last_segment_changed(batch, layout)
    others = _hidden(head, model, isolation.filled(layout, changed))
    used[affected] = False
    if not (change := _largest(others - ours, used) / scale) <= (APART if full else APART_IN_16_BITS):
        return f"tokens of one row change the hidden states of another (by {change:.2g} of them)"
    return ""


def _hidden(head: OutputHead, model: PreTrainedModel, laid_out: LaidOut) -> Tensor:
    """Return hidden states in the order of the batch."""
    return head.hidden(model, laid_out.inputs).flatten(0, 1)[laid_out.places]


def _largest(difference: Tensor, used: Tensor) -> float:
    return float(difference[used].abs().max()) if used.any() else 0.0


def _last_segment_changed(batch: Batch, layout: Layout) -> tuple[Tensor, Tensor]:
    """Return [batch] the rows that the last segment is a part of, and the batch's tokens with other ones in it."""
    index = max(index for index, segment in enumerate(layout.segments) if segment.length)
    start, changed = layout.starts[index], layout.segments[index]
    affected = ((layout.places >= start) & (layout.places < start + changed.length)).any(1)
    ids = batch["input_ids"].clone()
    span = ids[changed.row, changed.first : changed.first + changed.length]
    ids[changed.row, changed.first : changed.first + changed.length] = torch.where(span == 0, span + 1, span - 1)
    return affected.to(ids.device), ids


def find_isolation(model: PreTrainedModel, head: OutputHead, batch: Batch, *, shares: bool) -> Isolation | str:
    """Return the cheapest way that is proved on `batch`, or why there is none; set the model's attention for it.

    Args:
        model: A transformers model, adapted or not.
        head: Its head.
        batch: Rows of the run on the model's device, two of them in one line.
        shares: Compute what the rows of a line begin with once.
    """
    before, was_training = model.config._attn_implementation, model.training
    model.eval()
    try:
        with torch.no_grad():
            expected = head.hidden(model, {name: batch[name] for name in ("input_ids", "attention_mask")})
        flaws = []
        for way in ways_for(model, shares=shares):
            isolation = Isolation(way, model.dtype, shares=shares)
            if not (flaw := _tried(isolation, model, head, batch, expected)):
                return isolation
            flaws.append(flaw)
        model.set_attn_implementation(before)
    finally:
        model.train(was_training)
    return flaws[0] if flaws else f"its attention ({before}) cannot do it"


def _tried(isolation: Isolation, model: PreTrainedModel, head: OutputHead, batch: Batch, expected: Tensor) -> str:
    wanted = isolation.way.attn_implementation
    model.set_attn_implementation(wanted)
    if model.config._attn_implementation != wanted:
        return f"{type(model).__name__} does not let its attention be chosen"
    try:
        return flaw(isolation, model, head, batch, expected)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # whatever a model raises that knows no such masks
        return f"its forward pass raised {type(error).__name__}: {error}"
