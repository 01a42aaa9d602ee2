"""Held-out rows are dealt out so that every one counts once, whatever the number of ranks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swift_core.train.held_out import OwnBatches, in_turn, share_of, summed


@given(rows=st.integers(0, 40), size=st.integers(1, 9), world=st.integers(1, 5), fill_up=st.booleans())
def test_every_row_counts_once_in_the_batches_of_one_process(rows, size, world, fill_up):
    shares = [OwnBatches(rows, size, rank=rank, world=world, fill_up=fill_up) for rank in range(world)]
    counted = [list(share)[: share.num_own] for share in shares]

    alone = list(OwnBatches(rows, size))
    dealt = [batches[turn] for turn in range(len(alone)) for batches in counted if turn < len(batches)]
    assert dealt == alone
    assert [row for batch in alone for row in batch] == list(range(rows))


@given(rows=st.integers(0, 40), size=st.integers(1, 9), world=st.integers(1, 5))
def test_ranks_that_share_weights_pass_equally_often(rows, size, world):
    lengths = {len(OwnBatches(rows, size, rank=rank, world=world, fill_up=True)) for rank in range(world)}

    assert len(lengths) == 1


def test_one_process_keeps_everything():
    assert share_of(["a", "b"]) == ["a", "b"]
    assert in_turn([1, 2]) == [1, 2]
    assert summed({}) == {}
