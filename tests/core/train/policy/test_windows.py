"""The order of prompts: every row once an epoch, each window as often as its answers are used."""

import pytest

from swift_core.train.policy.windows import RepeatedWindows


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("repeats", [1, 3])
def test_a_window_is_repeated_before_the_next_begins(shuffle, repeats):
    order = list(RepeatedWindows(10, window=4, repeats=repeats, seed=7, shuffle=shuffle))
    assert len(order) == 10 * repeats == len(RepeatedWindows(10, 4, repeats, 7, shuffle))
    windows, position = [], 0
    for size in (4, 4, 2):
        window = order[position : position + size]
        for again in range(repeats):
            assert order[position + again * size : position + (again + 1) * size] == window
        windows += window
        position += size * repeats
    assert sorted(windows) == list(range(10))
    assert (windows == list(range(10))) is not shuffle


def test_the_order_changes_with_the_epoch_and_with_nothing_else():
    sampler = RepeatedWindows(50, window=8, repeats=1, seed=3, shuffle=True)
    first, again = list(sampler), list(sampler)
    sampler.set_epoch(1)
    assert first == again
    assert list(sampler) != first
    assert list(RepeatedWindows(50, 8, 1, 3, True, epoch=1)) == list(sampler)
