import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_core.plugin_api import InferRequest
from swift_reward_zoo.answer.f1 import F1

words = st.lists(st.sampled_from(["cat", "dog", "fish", "\u732b", "\u72d7"]), min_size=1, max_size=8)


def squad(given, expected):
    """The rule as written: take each shared word away once."""
    left = list(expected)
    shared = 0
    for word in given:
        if word in left:
            left.remove(word)
            shared += 1
    if not shared:
        return 0.0
    precision, recall = shared / len(given), shared / len(expected)
    return 2 * precision * recall / (precision + recall)


@given(answer=words, truth=words)
def test_matches_the_formula(answer, truth):
    scores = F1()([InferRequest(messages=[], response=" ".join(answer))], [" ".join(truth)])
    assert scores == pytest.approx([squad(answer, truth)])


def test_half_of_the_words_each_way_is_a_half(grade):
    assert grade(F1(), "red cat", "red dog") == 0.5


def test_chinese_is_compared_letter_by_letter(grade):
    assert grade(F1(), "\u5317\u4eac\u5e02", "\u5317\u4eac") == pytest.approx(2 * 2 / 5)


def test_the_best_of_several_truths_counts(grade):
    assert grade(F1(), "the red cat", ["a dog", "red cat"]) == 1.0


def test_repeating_a_word_does_not_pay(grade):
    assert grade(F1(), "cat cat cat", "cat") == 0.5


def test_no_words_score_zero(grade):
    assert grade(F1(), "", "cat") == 0.0
