"""Matrices that are low-rank but for noise."""

from __future__ import annotations

import torch


def low_rank_plus_noise(rows, columns, rank, noise, seed=0):
    """Return a random matrix of `rank` in float64, with Gaussian noise of that deviation."""
    generator = torch.Generator().manual_seed(seed)
    left = torch.randn(rows, rank, generator=generator, dtype=torch.float64)
    right = torch.randn(rank, columns, generator=generator, dtype=torch.float64)
    return left @ right + noise * torch.randn(rows, columns, generator=generator, dtype=torch.float64)
