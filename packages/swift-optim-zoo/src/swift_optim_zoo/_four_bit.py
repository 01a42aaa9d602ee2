"""Numbers of 4 and of 8 bits in groups of 256, evenly spaced between the smallest and the largest of the group.

    q = round((x - low) / step),  step = (high - low) / 15 (or 255)          x ~ low + q * step

Q-GaLore's format: Zhang et al., 2024, arXiv:2407.08296, sec. 3.1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

GROUP = 256


def pack(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return `values` in 4 bits, two to a byte, and the low end and step of each group, [2, groups]."""
    groups = _groups(values.float())
    low, step = _range(groups, 15)
    codes = ((groups - low) / step).round_().clamp_(0, 15).to(torch.uint8).view(-1)
    codes = codes[: values.numel() + values.numel() % 2]  # the groups are filled up: there is one more
    return codes[0::2] | codes[1::2] << 4, torch.cat([low, step], dim=1).T.contiguous()


def unpack(packed: Tensor, ranges: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the float32 numbers of `pack`."""
    size = math.prod(shape)
    codes = torch.stack([packed & 15, packed >> 4], dim=1).view(-1)[:size]
    groups = _groups(codes.to(torch.float32))
    return (groups * ranges[1, :, None] + ranges[0, :, None]).view(-1)[:size].view(tuple(shape))


def round_to_eight_bits_(weights: Tensor, seed: int) -> None:
    """Round `weights` in place, by chance and right in the mean, to 256 values in each group."""
    groups = _groups(weights)
    low, step = _range(groups, 255)
    noise = torch.rand(groups.shape, generator=torch.Generator().manual_seed(seed)).to(groups)
    rounded = ((groups - low) / step).add_(noise).floor_().clamp_(0, 255).mul_(step).add_(low)
    weights.copy_(rounded.view(-1)[: weights.numel()].view(weights.shape))


def _groups(values: Tensor) -> Tensor:
    """Return [groups, 256]; the last group is filled up with its last value."""
    flat = values.reshape(-1)
    flat = torch.cat([flat, flat[-1:].expand(-flat.numel() % GROUP)])
    return flat.view(-1, GROUP)


def _range(groups: Tensor, largest: int) -> tuple[Tensor, Tensor]:
    low, high = groups.amin(dim=1, keepdim=True), groups.amax(dim=1, keepdim=True)
    return low, ((high - low) / largest).clamp(min=torch.finfo(torch.float32).tiny)
