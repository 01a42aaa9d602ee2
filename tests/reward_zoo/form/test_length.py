import pytest

from swift_core.plugin_api import InferRequest
from swift_reward_zoo.form.length import Length


@pytest.mark.parametrize(
    ("length", "score"), [(0, 0.0), (5, 0.5), (10, 1.0), (20, 1.0), (24, 0.6), (30, 0.0), (500, 0.0)]
)
def test_falls_linearly_outside_the_range(grade, length, score):
    assert grade(Length(min_length=10, max_length=20, slack=10), "x" * length) == pytest.approx(score)


def test_without_slack_it_is_all_or_nothing(grade):
    assert [grade(Length(max_length=3), "x" * length) for length in (0, 1, 3, 4)] == [0.0, 1.0, 1.0, 0.0]


@pytest.mark.parametrize("column", ["response_token_ids", "completion_ids"])
def test_tokens_count_where_a_column_has_them(grade, column):
    assert grade(Length(max_length=2), "a long response", **{column: [5, 6]}) == 1.0
    assert grade(Length(max_length=2), "a", **{column: [5, 6, 7]}) == 0.0


def test_characters_not_bytes_count(grade):
    assert grade(Length(max_length=2), "\u4f60\u597d") == 1.0


def test_token_ids_must_be_lists_one_per_response():
    requests = [InferRequest(messages=[], response="a")] * 2
    with pytest.raises(ValueError, match=r"^length got 2 responses but 1 response_token_ids$"):
        Length(max_length=2)(requests, response_token_ids=[[1]])
    with pytest.raises(ValueError, match=r"^length needs the token ids of row 1 as a list, got 7$"):
        Length(max_length=2)(requests, response_token_ids=[[1], 7])


def test_refuses_a_range_that_is_none():
    with pytest.raises(ValueError, match=r"^max_length must be >= min_length \(5\), got 4$"):
        Length(min_length=5, max_length=4)
