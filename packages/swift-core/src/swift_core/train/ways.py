"""How a model is told which tokens see each other when rows stand one after the other in a line.

`SegmentWay`: through an attention function of our own, which costs what the segments cost. `MaskWay`: through a dense
mask, which every model takes that takes four-dimensional masks, and which costs the square of a line; so a line is
no longer than it must be. `VarlenWay`: through the lengths of the segments, which flash attention reads; it knows no
prefixes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from torch import Tensor

from swift_core.train.segment_attention import NAME, Segments
from swift_core.train.segments import NO_PREFIX, Layout

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Batch = Mapping[str, Tensor]


class Way(Protocol):
    """One way to keep segments apart."""

    one_line: ClassVar[bool]
    """Whether all segments of a micro-batch stand in one line."""

    @property
    def attn_implementation(self) -> str:
        """What the model's attention must be."""

    def inputs(self, layout: Layout, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
        """Return what the model's forward pass is given beside tokens and positions."""


@dataclass(frozen=True, slots=True)
class SegmentWay:
    """Segments go to an attention function of our own."""

    one_line: ClassVar[bool] = True
    attn_implementation: str = NAME

    def inputs(self, layout: Layout, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
        """Return the segments, and a mask that keeps the model from making one."""
        return {"attention_mask": torch.zeros(1, 1, 1, 1, device=device), "segments": Segments(layout, device)}


@dataclass(frozen=True, slots=True)
class VarlenWay:
    """Lengths of segments go to flash attention."""

    one_line: ClassVar[bool] = True
    attn_implementation: str

    def inputs(self, layout: Layout, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
        """Return the bounds of the segments; raise ValueError when they have prefixes."""
        if any(segment.prefix != NO_PREFIX for segment in layout.segments):
            raise ValueError("flash attention cannot let two sequences see one prefix")
        lengths = [layout.segments[index].length for index in layout.lines[0]]
        bounds = torch.tensor([0, *lengths], device=device).cumsum(0, dtype=torch.int32)
        longest = max(lengths)
        return {
            "attention_mask": None,
            "cu_seq_lens_q": bounds,
            "cu_seq_lens_k": bounds,
            "max_length_q": longest,
            "max_length_k": longest,
        }


@dataclass(frozen=True, slots=True)
class MaskWay:
    """A dense mask, or one for each kind of layer."""

    one_line: ClassVar[bool] = False
    attn_implementation: str
    windows: Mapping[str, int | None]
    """Kind of layer -> the positions that its tokens see, None for all."""

    by_kind: bool
    """Whether the model takes a mask for each kind of layer; else there is one kind."""

    def inputs(self, layout: Layout, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
        """Return the mask: bool for sdpa, numbers that are added to the scores for others."""
        masks = {kind: self._mask(layout, window, device, dtype) for kind, window in self.windows.items()}
        return {"attention_mask": masks if self.by_kind else next(iter(masks.values()))}

    def _mask(self, layout: Layout, window: int | None, device: torch.device, dtype: torch.dtype) -> Tensor:
        visible = visibility(layout, window).to(device)
        if self.attn_implementation == "sdpa":
            return visible
        return torch.zeros(visible.shape, dtype=dtype, device=device).masked_fill_(~visible, torch.finfo(dtype).min)


def visibility(layout: Layout, window: int | None) -> Tensor:
    """Return [line, 1, query, key]: which token of a line sees which; padding sees itself."""
    own = torch.full_like(layout.sources, -1).flatten()
    prefix = torch.full_like(own, -2)
    for index, (start, segment) in enumerate(zip(layout.starts, layout.segments, strict=True)):
        own[start : start + segment.length] = index
        if segment.prefix != NO_PREFIX:
            prefix[start : start + segment.length] = segment.prefix
    own, prefix = own.view_as(layout.sources), prefix.view_as(layout.sources)
    ahead = layout.positions[:, :, None] - layout.positions[:, None, :]
    related = (own[:, :, None] == own[:, None, :]) | (prefix[:, :, None] == own[:, None, :])
    visible = related & (ahead >= 0) & (own >= 0)[:, :, None]
    if window is not None:
        visible &= ahead < window
    visible |= torch.eye(layout.width, dtype=torch.bool)
    return visible[:, None]


def ways_for(model: PreTrainedModel, *, shares: bool) -> list[Way]:
    """Return the ways that may do for `model`, the cheapest first; `shares`: segments have prefixes."""
    implementation = str(model.config._attn_implementation)
    if "flash" in implementation:
        return [] if shares else [VarlenWay(implementation)]
    masks = _mask_ways(model.config.get_text_config(), implementation)
    return [SegmentWay(), *masks] if implementation in ("sdpa", NAME) else masks


def _mask_ways(config: Any, implementation: str) -> list[Way]:
    window = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or ())
    implementation = "sdpa" if implementation == NAME else implementation
    if len(kinds) > 1:
        windows = {"full_attention": None, "sliding_attention": window}
        return [MaskWay(implementation, windows, by_kind=True)]
    sliding = kinds == {"sliding_attention"} or not kinds
    only = {kinds.pop() if kinds else "all": window if sliding else None}
    return [MaskWay(implementation, only, by_kind=by_kind) for by_kind in (False, True)]
