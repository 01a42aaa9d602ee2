"""Where tokens stand in lines of segments, and what each of them sees."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.train.segment_attention import Segments, segment_attention
from swift_core.train.segments import NO_PREFIX, common_prefix, layout_of
from swift_core.train.ways import visibility


def padded(rows):
    width = max(map(len, rows))
    return torch.tensor([row + [0] * (width - len(row)) for row in rows])


def layout(rows, lines, **options):
    return layout_of(padded(rows), [len(row) for row in rows], lines, **{"shares": True, "one_line": True, **options})


tokens = st.lists(st.integers(1, 3), min_size=1, max_size=9)  # few tokens, so that prefixes are common
batches = st.lists(st.tuples(tokens, st.integers(0, 2)), min_size=1, max_size=6)


@given(batches, st.booleans(), st.booleans())
def test_every_token_has_a_place_with_its_own_value_and_position(batch, shares, one_line):
    rows, lines = [row for row, _ in batch], [line for _, line in batch]
    laid = layout(rows, lines, shares=shares, one_line=one_line)
    flat = padded(rows).flatten()[laid.sources.clamp(min=0)].flatten()
    for index, row in enumerate(rows):
        places = laid.places[index, : len(row)]
        assert flat[places].tolist() == row
        assert laid.positions.flatten()[places].tolist() == list(range(len(row)))
    assert laid.num_tokens == int((laid.sources >= 0).sum())


@given(batches, st.booleans(), st.sampled_from([None, 1, 3]))
def test_a_token_sees_what_it_would_see_in_a_row_of_its_own(batch, one_line, window):
    rows, lines = [row for row, _ in batch], [line for _, line in batch]
    laid = layout(rows, lines, one_line=one_line)
    visible = visibility(laid, window)
    for index, row in enumerate(rows):
        places = laid.places[index, : len(row)].tolist()
        for time, place in enumerate(places):
            line, offset = divmod(place, laid.width)
            seen = {line * laid.width + key for key in visible[line, 0, offset].nonzero().flatten().tolist()}
            first = 0 if window is None else max(0, time - window + 1)
            assert seen == set(places[first : time + 1])


def test_a_prefix_is_kept_once_and_the_rest_goes_on_from_its_end():
    rows = [[7, 8, 9, 1], [5], [7, 8, 2, 3, 4]]
    laid = layout(rows, [0, 1, 0])
    assert laid.num_tokens == 2 + 2 + 3 + 1
    shared = laid.segments[0]
    assert (shared.row, shared.first, shared.length, shared.prefix) == (0, 0, 2, NO_PREFIX)
    assert laid.places[0, :2].tolist() == laid.places[2, :2].tolist()


def test_rows_of_other_lines_share_nothing():
    assert layout([[7, 8], [7, 8]], [0, 1]).num_tokens == 4


@pytest.mark.parametrize(("rows", "limit", "expected"), [([[1, 2, 3], [1, 2, 4]], 3, 2), ([[1, 2], [1, 2]], 1, 1)])
def test_a_common_prefix_ends_where_rows_differ_or_end(rows, limit, expected):
    assert common_prefix(torch.tensor(rows), limit) == expected


class Layer(torch.nn.Module):
    """What transformers' sdpa asks of an attention module."""

    is_causal, num_key_value_groups = True, 2


def dense(query, key, value, visible):
    key, value = (state.repeat_interleave(2, 1) for state in (key, value))
    scores = (query @ key.transpose(2, 3) * 0.5).masked_fill(~visible, float("-inf"))
    return (scores.softmax(-1) @ value).transpose(1, 2)


@given(batches, st.sampled_from([None, 1, 3]), st.integers(0, 99))
def test_attention_in_blocks_is_attention_under_the_dense_mask(batch, window, seed):
    rows, lines = [row for row, _ in batch], [line for _, line in batch]
    laid = layout(rows, lines)
    torch.manual_seed(seed)
    states = [torch.randn(1, heads, laid.width, 4, dtype=torch.float64, requires_grad=True) for heads in (4, 2, 2)]
    expected = dense(*states, visibility(laid, window))
    actual, _ = segment_attention(
        Layer(), *states, None, Segments(laid, torch.device("cpu")), sliding_window=window, scaling=0.5
    )
    weights = torch.randn_like(expected)
    torch.testing.assert_close(actual, expected)
    for one, other in zip(
        torch.autograd.grad((actual * weights).sum(), states),
        torch.autograd.grad((expected * weights).sum(), states),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
