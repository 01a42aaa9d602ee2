"""Attention over segments, as an attention function of transformers.

A dense mask over a line of segments would cost the square of the line. Here the queries of similar segments are
gathered into one call of torch's attention, with the keys that they may see: the work is that of the segments. The
function does what `sdpa` does where a forward pass brings no segments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from swift_core.train.segments import Block, Layout, blocks_of

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = "swift_segments"
"""Of the attention function, as `attn_implementation` of a live model."""


class Segments:
    """The blocks of a layout, on one device, made once for each window of the model's layers."""

    def __init__(self, layout: Layout, device: torch.device) -> None:
        """Take a layout with one line."""
        self._layout, self._device = layout, device
        self._blocks: dict[int | None, tuple[Sequence[Block], Tensor]] = {}

    def blocks(self, window: int | None) -> tuple[Sequence[Block], Tensor]:
        """Return the blocks, and of each place where its result stands when theirs are joined, flattened."""
        if window not in self._blocks:
            blocks = blocks_of(self._layout, window)
            joined = torch.cat([torch.where(block.kept, block.queries, -1).flatten() for block in blocks])
            order = torch.empty(self._layout.width, dtype=torch.int64)
            found = joined >= 0
            order[joined[found]] = found.nonzero().squeeze(1)
            self._blocks[window] = [block.to(self._device) for block in blocks], order.to(self._device)
        return self._blocks[window]


def segment_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    segments: Segments | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,  # transformers' protocol: whatever a model hands to its attention
) -> tuple[Tensor, None]:
    """Return the attention of [1, head, place, size] queries, [1, place, head, size]; without segments that of sdpa."""
    if segments is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    blocks, order = segments.blocks(sliding_window)
    states = [state[0].transpose(0, 1) for state in (query, key, value)]
    results = []
    for block in blocks:
        places = (block.queries, block.keys, block.keys)
        queries, keys, values = (_gather(state, place) for state, place in zip(states, places, strict=True))
        result, _ = sdpa_attention_forward(module, queries, keys, values, block.visible, **kwargs)
        results.append(result.flatten(0, 1))
    return torch.cat(results).index_select(0, order)[None], None


def _gather(state: Tensor, places: Tensor) -> Tensor:
    """[place, head, size] -> [segment, head, token, size]."""
    chosen = state.index_select(0, places.flatten())
    return chosen.view(*places.shape, *state.shape[1:]).transpose(1, 2)


AttentionInterface.register(NAME, segment_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
