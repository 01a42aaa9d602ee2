"""Ranks that are not alike are named, with what differs."""

from __future__ import annotations

from swift_core.train.ranks import differences

ALIKE = {"setting train.seed": "42", "plugin train.loss_type": "a", "torch": "2.13.0"}


def test_ranks_that_are_alike_have_no_difference():
    assert differences([ALIKE, dict(ALIKE), dict(ALIKE)]) == ""


def test_the_rank_and_what_it_has_otherwise_are_named():
    third = {**ALIKE, "torch": "2.12.1", "plugin train.loss_type": "b"}

    text = differences([ALIKE, ALIKE, third])

    assert text == (
        "rank 2 has other code or options of the plugin train.loss_type, torch 2.12.1 where rank 0 has 2.13.0"
    )


def test_a_library_that_a_rank_lacks_is_named():
    second = {name: value for name, value in ALIKE.items() if name != "torch"}

    assert differences([ALIKE, second]) == "rank 1 has torch nothing where rank 0 has 2.13.0"


def test_many_differences_are_counted():
    second = {f"setting {number}": "1" for number in range(9)}

    assert differences([{}, second]).endswith("and 6 more")
