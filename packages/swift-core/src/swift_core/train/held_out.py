"""Held-out rows shared among ranks: each judges its batches, and what they add up to is that of one process.

Batches are those of one process, dealt out in turn. Where weights are shared out too, all ranks must pass through the
model equally often: one that has no batch left repeats its first row, which counts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


class OwnBatches:
    """A batch sampler: the places of this rank's batches among all rows."""

    def __init__(self, num_rows: int, batch_size: int, *, rank: int = 0, world: int = 1, fill_up: bool = False) -> None:
        """Deal batches out.

        Args:
            num_rows: Held-out rows.
            batch_size: Rows of a batch.
            rank: This process.
            world: Number of processes.
            fill_up: Give every rank as many batches; those beyond `num_own` count nothing.
        """
        batches = [range(start, min(start + batch_size, num_rows)) for start in range(0, num_rows, batch_size)]
        own = batches[rank::world]
        self.num_own = len(own)
        """Batches that count."""

        rounds = -(-len(batches) // world)
        self._batches = own + [range(1)] * (rounds - len(own) if fill_up else 0)

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the places of each batch's rows."""
        return (list(batch) for batch in self._batches)

    def __len__(self) -> int:
        """Return the number of batches of this rank."""
        return len(self._batches)


def is_shared() -> bool:
    """Say whether rows are dealt out among several ranks."""
    return dist.is_initialized() and min(dist.get_world_size(), _dealt.shares) > 1


@dataclass
class _Dealt:
    shares: int = 2**31


_dealt = _Dealt()


def deal_out_among(shares: int) -> None:
    """Say among how many ranks rows are dealt out from now on: 1 where all of them hold one model and see the same."""
    _dealt.shares = shares


def summed(pairs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the sums over all ranks by name; a rank may lack names, or have none."""
    if not is_shared():
        return dict(pairs)
    total: dict[str, Tensor] = {}
    for own in _gathered({name: value.detach().double().cpu() for name, value in pairs.items()}):
        for name, value in own.items():
            total[name] = total[name] + value if name in total else value
    devices = {value.device for value in pairs.values()}
    return {name: value.to(next(iter(devices), torch.device("cpu"))) for name, value in total.items()}


def in_turn(own: Sequence[Any]) -> list[Any]:
    """Return what all ranks hold, in the order in which it was dealt out."""
    if not is_shared():
        return list(own)
    everyone = _gathered(list(own))
    longest = max(map(len, everyone), default=0)
    return [held[place] for place in range(longest) for held in everyone if place < len(held)]


def share_of(rows: Sequence[Any]) -> list[Any]:
    """Return this rank's share of `rows`, dealt out in turn; every share is as long, the last rows repeated."""
    if not is_shared() or not rows:
        return list(rows)
    rank, world = dist.get_rank(), dist.get_world_size()
    own = list(rows[rank::world])
    length = -(-len(rows) // world)
    return own + [rows[-1]] * (length - len(own))


def _gathered(own: Any) -> list[Any]:
    everyone: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everyone, own)
    return everyone
