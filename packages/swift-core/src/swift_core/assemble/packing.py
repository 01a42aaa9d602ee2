"""Packing: short rows share a place in the batch, so that a batch has as many tokens as `data.max_length` allows.

Best fit decreasing (Johnson, 1973): the longest row first, each into the fullest pack that still has room for it. No
row is cut. How many packs there are, and how long the rows of each are, follows from the lengths alone; which of
several rows of one length goes where is drawn anew each epoch. So every epoch has the same number of steps.
"""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from swift_core.assemble.data.load import LoadedData
    from swift_core.contracts.handover import RunPlan

Row = dict[str, Any]


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Return packs of indices into `lengths` such that the lengths in each sum to at most `capacity`.

    Raises:
        ValueError: A length is larger than `capacity`.
    """
    if lengths and max(lengths) > capacity:
        raise ValueError(f"a row of {max(lengths)} tokens does not fit into a pack of {capacity}")
    packs: list[list[int]] = []
    with_room: dict[int, list[int]] = defaultdict(list)
    rooms: list[int] = []  # the keys of with_room, ascending
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        found = bisect_left(rooms, lengths[index])
        if found == len(rooms):
            pack, room = len(packs), capacity
            packs.append([])
        else:
            room = rooms[found]
            pack = with_room[room].pop()
            if not with_room[room]:
                rooms.pop(found)
        packs[pack].append(index)
        left = room - lengths[index]
        if not with_room[left]:
            insort(rooms, left)
        with_room[left].append(pack)
    return packs


class PackedRows(Sequence[list[Row]]):
    """A data set whose items are packs: lists of rows."""

    def __init__(self, rows: Sequence[Row], capacity: int, seed: int) -> None:
        """Pack `rows` to at most `capacity` tokens; `seed` and the epoch decide which of equal rows goes where."""
        self._rows, self._capacity, self._seed = rows, capacity, seed
        self._lengths = [len(row["input_ids"]) for row in rows]
        self._first = best_fit(self._lengths, capacity)
        self._packs = self._first
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        """Deal rows of equal length for `epoch`; lengths of packs stay what they are."""
        by_length: dict[int, list[int]] = defaultdict(list)
        for index, length in enumerate(self._lengths):
            by_length[length].append(index)
        draw = random.Random(f"{self._seed} {epoch}")
        for length in sorted(by_length):
            draw.shuffle(by_length[length])
        self._packs = [[by_length[self._lengths[index]].pop() for index in pack] for pack in self._first]

    @property
    def facts(self) -> dict[str, Any]:
        """Counts worth keeping."""
        return {"packs": len(self), "rows_per_pack": len(self._rows) / len(self), "packing_efficiency": self.efficiency}

    @property
    def efficiency(self) -> float:
        """Share of the packs' room that has tokens in it."""
        return sum(self._lengths) / (len(self) * self._capacity)

    def __len__(self) -> int:
        return len(self._packs)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        return [self._rows[row] for row in self._packs[index]]


@dataclass(frozen=True, slots=True)
class PackCollator:
    """Makes a batch of the rows of packs."""

    of_rows: Callable[[Sequence[Any]], dict[str, Tensor]]

    def __call__(self, items: Sequence[Any]) -> dict[str, Tensor]:
        """Return the batch of all rows, with `lines`, int64 [batch]: the pack of each; a row alone is a pack."""
        import torch

        packs = [item if isinstance(item, list) else [item] for item in items]
        lines = [number for number, pack in enumerate(packs) for _ in pack]
        return self.of_rows([row for pack in packs for row in pack]) | {"lines": torch.tensor(lines)}


def packed(plan: RunPlan, data: LoadedData) -> LoadedData:
    """Return `data` with packs for training rows where the run file asks for it."""
    settings = plan.settings
    if not settings.train.packing:
        return data
    rows = PackedRows(data.train, settings.data.max_length, settings.train.seed)
    return replace(data, train=rows, collator=PackCollator(data.collator), facts={**data.facts, **rows.facts})
