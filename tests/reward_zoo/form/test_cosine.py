import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_core.plugin_api import InferRequest
from swift_reward_zoo.form.cosine import Cosine


def graded(length, *, right, **options):
    answer = r"\boxed{7}" if right else r"\boxed{8}"
    requests = [InferRequest(messages=[], response=answer)]
    return Cosine(max_length=1000, **options)(requests, ["7"], response_token_ids=[[0] * length])[0]


@pytest.mark.parametrize(
    ("length", "right", "wrong"),
    [(0, 1.0, -0.5), (500, 0.75, -0.25), (1000, 0.5, 0.0), (1500, 0.5, 0.0), (2000, 0.5, 0.0)],
)
def test_goes_from_end_to_end_and_stays_there(length, right, wrong):
    assert graded(length, right=True) == pytest.approx(right)
    assert graded(length, right=False) == pytest.approx(wrong)


@given(first=st.integers(0, 3000), second=st.integers(0, 3000))
def test_a_longer_right_answer_is_never_worth_more(first, second):
    shorter, longer = sorted((first, second))
    assert graded(longer, right=True) <= graded(shorter, right=True)
    assert graded(longer, right=False) >= graded(shorter, right=False)


@given(length=st.integers(0, 1000))
def test_matches_the_formula_of_the_paper(length):
    # CosFn(t, T, eta_min, eta_max) = eta_min + (eta_max - eta_min) (1 + cos(t pi / T)) / 2
    assert graded(length, right=True) == pytest.approx(0.5 + 0.5 * 0.5 * (1 + math.cos(length * math.pi / 1000)))


def test_lengths_are_characters_without_token_ids(grade):
    assert grade(Cosine(max_length=18), r"\boxed{7}", "7") == pytest.approx(0.75)


def test_another_grader_may_say_what_is_right(grade):
    assert grade(Cosine(max_length=10**9, grader="choice"), "Answer: B", "B") == pytest.approx(1.0)


def test_abstains_where_the_grader_does(grade, monkeypatch):
    monkeypatch.setitem(
        __import__("sys").modules["swift_reward_zoo.answer._graders"]._GRADERS, "math", lambda: lambda *_: [None]
    )
    assert grade(Cosine(max_length=10), "7", "7") is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 0}, r"^max_length must be > 0, got 0$"),
        (
            {"max_length": 9, "wrong_at_max": 0.5},
            r"^right answers must be worth more than wrong ones, got 0.5 and 0.5$",
        ),
        (
            {"max_length": 9, "grader": "guess"},
            r"^grader must be one of math, final_number, choice, exact_match, got 'guess'$",
        ),
    ],
)
def test_refuses_options_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        Cosine(**options)
