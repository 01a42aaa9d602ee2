"""Packs: nothing is lost, nothing is cut, nothing is too long, and an epoch can be dealt again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_core.assemble.kinds.tokens import TokenCollator
from swift_core.assemble.packing import PackCollator, PackedRows, best_fit

lengths_and_room = st.tuples(st.lists(st.integers(1, 20), max_size=40), st.integers(20, 60))


def rows(lengths):
    return [{"input_ids": [n] * n, "labels": [n] * n, "row": index} for index, n in enumerate(lengths)]


@given(lengths_and_room)
def test_every_row_is_in_one_pack_and_no_pack_is_too_long(case):
    lengths, room = case
    packs = best_fit(lengths, room)
    assert sorted(index for pack in packs for index in pack) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in pack) <= room for pack in packs)


@given(lengths_and_room)
def test_there_are_at_most_as_many_packs_as_the_bound_for_best_fit_decreasing_says(case):
    lengths, room = case
    fewest = -(-sum(lengths) // room)
    assert fewest <= len(best_fit(lengths, room)) <= max(1.5 * fewest + 1, fewest)


def plain_best_fit(lengths, room):
    packs = []
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        spaces = [(room - sum(lengths[other] for other in pack), n) for n, pack in enumerate(packs)]
        fitting = [(space, n) for space, n in spaces if space >= lengths[index]]
        if not fitting:
            packs.append([index])
        else:
            packs[min(fitting, key=lambda each: each[0])[1]].append(index)
    return packs


@given(lengths_and_room)
def test_packs_are_as_full_as_those_of_the_plain_algorithm(case):
    lengths, room = case
    sizes = [sorted(sum(lengths[i] for i in pack) for pack in fit(lengths, room)) for fit in (best_fit, plain_best_fit)]
    assert sizes[0] == sizes[1]


def test_a_row_longer_than_a_pack_is_refused():
    with pytest.raises(ValueError, match="a row of 9 tokens does not fit into a pack of 8"):
        best_fit([3, 9], 8)


LENGTHS = [5] * 12 + [3] * 12 + [7] * 6


def dealt(epoch, seed=1):
    packs = PackedRows(rows(LENGTHS), 16, seed)
    packs.set_epoch(epoch)
    return [[row["row"] for row in pack] for pack in packs]


def test_an_epoch_is_dealt_by_seed_and_number_alone():
    packs = PackedRows(rows(LENGTHS), 16, 1)
    for epoch in (0, 3, 1):
        packs.set_epoch(epoch)
    assert [[row["row"] for row in pack] for pack in packs] == dealt(1)
    assert dealt(1) != dealt(2)
    assert dealt(1) != dealt(1, seed=2)


def test_every_epoch_has_each_row_once_in_packs_of_the_same_lengths():
    for epoch in range(3):
        packs = dealt(epoch)
        assert sorted(row for pack in packs for row in pack) == list(range(len(LENGTHS)))
        assert [[LENGTHS[row] for row in pack] for pack in packs] == [
            [LENGTHS[row] for row in pack] for pack in dealt(0)
        ]


def test_efficiency_is_the_share_of_room_that_is_used():
    packs = PackedRows(rows([6, 6, 4, 4]), 10, 0)
    assert packs.facts == {"packs": 2, "rows_per_pack": 2.0, "packing_efficiency": 1.0}
    assert PackedRows(rows([6, 6]), 10, 0).efficiency == pytest.approx(0.6)


def test_a_batch_of_packs_has_their_rows_and_says_which_pack_each_is_of():
    first, second, third = rows([2, 3, 1])
    batch = PackCollator(TokenCollator(0))([[first, second], [third]])
    assert batch["lines"].tolist() == [0, 0, 1]
    assert batch["input_ids"].tolist() == [[2, 2, 0], [3, 3, 3], [1, 0, 0]]


def test_held_out_rows_that_are_not_packed_stand_alone():
    assert PackCollator(TokenCollator(0))(rows([2, 3]))["lines"].tolist() == [0, 1]
