import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_core.plugin_api import InferRequest
from swift_reward_zoo.form.repetition import Repetition


@given(ids=st.lists(st.integers(0, 3), max_size=30), size=st.integers(1, 4))
def test_matches_the_formula(ids, size):
    grams = [tuple(ids[start : start + size]) for start in range(len(ids) - size + 1)]
    expected = -(1 - len(set(grams)) / len(grams)) if grams else 0.0
    scores = Repetition(ngram_size=size)([InferRequest(messages=[], response="")], response_token_ids=[ids])
    assert scores == pytest.approx([expected])


@pytest.mark.parametrize(
    "response",
    ["\u6211" * 400, "\u6211\u662f\u732b\u3002" * 100, "cat " * 400, "a" * 400, "!" * 400, "\u0e41\u0e21\u0e27" * 100],
)
def test_repetition_is_punished_in_any_script(grade, response):
    assert grade(Repetition(), response) < -0.95


@pytest.mark.parametrize(
    "response",
    ["", "cat", "the quick brown fox jumps over it", "\u6625\u7720\u4e0d\u89c9\u6653\u5904\u5904\u95fb\u557c\u9e1f"],
)
def test_text_that_repeats_nothing_is_not(grade, response):
    assert grade(Repetition(), response) == 0.0


def test_case_does_not_hide_it(grade):
    assert grade(Repetition(ngram_size=1), "Cat cat CAT") == pytest.approx(-2 / 3)


def test_the_penalty_scales(grade):
    assert grade(Repetition(ngram_size=1, max_penalty=-0.5), "cat cat") == -0.25


def test_refuses_a_penalty_that_pays():
    with pytest.raises(ValueError, match=r"^max_penalty must be <= 0, got 1.0$"):
        Repetition(max_penalty=1.0)
