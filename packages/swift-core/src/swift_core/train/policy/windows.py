"""The order of prompts: windows of one step each, repeated as often as their answers are used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class RepeatedWindows:
    """Indices of one epoch; the order depends on the seed and the epoch alone."""

    num_rows: int
    window: int
    repeats: int
    seed: int
    shuffle: bool
    epoch: int = 0

    def set_epoch(self, epoch: int) -> None:
        """Take another order; called by the loader at the start of an epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.num_rows * self.repeats

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed + 1_000_003 * self.epoch)
        order = torch.randperm(self.num_rows, generator=generator).tolist() if self.shuffle else range(self.num_rows)
        for start in range(0, self.num_rows, self.window):
            for _ in range(self.repeats):
                yield from order[start : start + self.window]
