"""A micro-batch as segments: rows without padding, and a prefix that several rows have in common kept once.

A segment is a run of consecutive tokens of one row. Its tokens see each other causally, and all of at most one other
segment: its prefix. Rows that share a prefix of p tokens become one segment of p tokens and one more for the rest of
each row, which starts at position p. What a token sees, and so its hidden state, is what it would see in a row of its
own; the first token after the prefix is predicted, for every row, at the prefix's last token.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_PREFIX = -1


@dataclass(frozen=True, slots=True)
class Segment:
    """Tokens `first` to `first + length` of row `row`."""

    row: int
    first: int
    length: int
    prefix: int = NO_PREFIX
    """Which other segment its tokens see whole."""


@dataclass(frozen=True)
class Layout:
    """Where the segments of a micro-batch stand: in lines, one after the other, padded on the right."""

    segments: Sequence[Segment]
    lines: Sequence[Sequence[int]]
    """The segments of each line."""

    num_rows: int
    num_times: int

    @cached_property
    def width(self) -> int:
        """Tokens of the longest line."""
        return max(sum(self.segments[index].length for index in line) for line in self.lines)

    @cached_property
    def starts(self) -> list[int]:
        """Of each segment the place of its first token; a place is line * width + offset."""
        starts = [0] * len(self.segments)
        for number, line in enumerate(self.lines):
            place = number * self.width
            for index in line:
                starts[index] = place
                place += self.segments[index].length
        return starts

    @cached_property
    def places(self) -> Tensor:
        """[batch, time] place of each token of the batch; tokens of a prefix stand in one place for all rows."""
        places = torch.zeros(self.num_rows, self.num_times, dtype=torch.int64)
        for start, segment in zip(self.starts, self.segments, strict=True):
            if segment.prefix != NO_PREFIX:
                prefix = self.segments[segment.prefix]
                begin = self.starts[segment.prefix]
                places[segment.row, : prefix.length] = torch.arange(begin, begin + prefix.length)
            last = segment.first + segment.length
            places[segment.row, segment.first : last] = torch.arange(start, start + segment.length)
        return places

    @cached_property
    def sources(self) -> Tensor:
        """[line, width] for each place which token of the flattened batch stands there, -1 on padding."""
        sources = torch.full((len(self.lines) * self.width,), -1)
        for start, segment in zip(self.starts, self.segments, strict=True):
            begin = segment.row * self.num_times + segment.first
            sources[start : start + segment.length] = torch.arange(begin, begin + segment.length)
        return sources.view(len(self.lines), self.width)

    @cached_property
    def positions(self) -> Tensor:
        """[line, width] position of each token in its own row, 0 on padding."""
        return torch.where(self.sources < 0, 0, self.sources % self.num_times)

    @property
    def num_tokens(self) -> int:
        """Tokens without padding: what the layers of the model compute."""
        return sum(segment.length for segment in self.segments)


def layout_of(ids: Tensor, lengths: Sequence[int], lines: Sequence[int], *, shares: bool, one_line: bool) -> Layout:
    """Return the layout of a micro-batch.

    Args:
        ids: [batch, time] tokens, padded on the right, on the CPU.
        lengths: Tokens of each row.
        lines: Of each row the line that it stands in.
        shares: Keep what all rows of a line begin with once.
        one_line: Put all lines into one.
    """
    rows_by_line: dict[int, list[int]] = defaultdict(list)
    for row, line in enumerate(lines):
        rows_by_line[line].append(row)
    segments: list[Segment] = []
    filled: list[list[int]] = []
    for rows in rows_by_line.values():
        begin = len(segments)
        segments += _segments(ids, lengths, rows, begin, shares=shares)
        filled.append(list(range(begin, len(segments))))
    return Layout(segments, [list(range(len(segments)))] if one_line else filled, *ids.shape)


def _segments(ids: Tensor, lengths: Sequence[int], rows: Sequence[int], begin: int, *, shares: bool) -> list[Segment]:
    """Return the segments of one line; the first of them will have the index `begin`."""
    if not shares or len(rows) == 1:
        return [Segment(row, 0, lengths[row]) for row in rows]
    shared = common_prefix(ids[list(rows)], min(lengths[row] for row in rows))
    if not shared:
        return [Segment(row, 0, lengths[row]) for row in rows]
    rest = [Segment(row, shared, lengths[row] - shared, begin) for row in rows]
    return [Segment(rows[0], 0, shared), *rest]


def common_prefix(ids: Tensor, limit: int) -> int:
    """Return how many tokens at the start of all rows are the same, at most `limit`."""
    same = (ids[:, :limit] == ids[:1, :limit]).all(0)
    return int(same.long().cumprod(0).sum())


@dataclass(frozen=True, slots=True)
class Block:
    """Segments of similar size whose attention is one call of the kernel."""

    queries: Tensor
    """[segment, query] place of each query; padding repeats a place and its result is dropped."""

    keys: Tensor
    """[segment, key] place of each key: the prefix, padded, and then the segment itself, padded."""

    visible: Tensor | None
    """[segment, 1, query, key] which query sees which key; None: causally, without a prefix."""

    kept: Tensor
    """[segment, query] whether the query is a token and not padding."""

    def to(self, device: torch.device) -> Block:
        """Return the block on `device`."""
        visible = None if self.visible is None else self.visible.to(device)
        return Block(self.queries.to(device), self.keys.to(device), visible, self.kept.to(device))


def blocks_of(layout: Layout, window: int | None) -> list[Block]:
    """Return the attention of `layout`, which has one line, in as few calls as do not waste much on padding.

    Args:
        layout: One line of segments.
        window: Positions that a token sees, itself among them; None is all.
    """
    by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, segment in enumerate(layout.segments):
        seen = layout.segments[segment.prefix].length if segment.prefix != NO_PREFIX else 0
        if segment.length:
            by_size[_size(segment.length), _size(seen)].append(index)
    return [_block(layout, indices, window) for indices in by_size.values()]


def _size(length: int) -> int:
    """Return a class of lengths within a factor of 1.41, so that padding at most doubles the work."""
    return int(2 * math.log2(length)) if length else -1


def _block(layout: Layout, indices: Sequence[int], window: int | None) -> Block:
    chosen = [layout.segments[index] for index in indices]
    lengths = torch.tensor([segment.length for segment in chosen])[:, None]
    starts = torch.tensor([layout.starts[index] for index in indices])[:, None]
    step = torch.arange(int(lengths.max()))[None]
    kept = step < lengths
    queries = torch.where(kept, starts + step, starts)
    prefixes = [segment.prefix for segment in chosen]
    if prefixes[0] == NO_PREFIX:
        visible = None
        if window is not None and step.numel() > window:
            visible = _sees(step, step, window)
        return Block(queries, queries, visible, kept)
    seen = torch.tensor([layout.segments[prefix].length for prefix in prefixes])[:, None]
    before = torch.arange(int(seen.max()))[None]
    prefix_starts = torch.tensor([layout.starts[prefix] for prefix in prefixes])[:, None]
    keys = torch.cat([torch.where(before < seen, prefix_starts + before, prefix_starts), queries], 1)
    key_positions = torch.cat([before.expand(len(chosen), -1), seen + step], 1)
    padding = torch.cat([before >= seen, torch.zeros_like(kept)], 1)
    visible = _sees(seen + step, key_positions, window) & ~padding[:, None, None]
    return Block(queries, keys, visible, kept)


def _sees(queries: Tensor, keys: Tensor, window: int | None) -> Tensor:
    """Return [segment, 1, query, key] from positions [segment, query] and [segment, key]."""
    distance = queries[:, None, :, None] - keys[:, None, None, :]
    return (distance >= 0) if window is None else (distance >= 0) & (distance < window)
