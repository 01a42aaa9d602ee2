import importlib.util
import math
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_core.builtins.metrics.nlg import Nlg, rouge, tokens
from swift_core.contracts.metric import Generations
from swift_core.contracts.reward import InferRequest

words = st.lists(st.sampled_from("abcd"), max_size=9).map(tuple)


def generations(*pairs):
    requests = [InferRequest(messages=[], response=answer) for answer, _ in pairs]
    expected = [text for _, text in pairs]
    return Generations(requests, [None] * len(pairs), expected, {}, [])


@cache
def longest(first, second):
    """The definition of a longest common subsequence, by its recursion."""
    if not first or not second:
        return 0
    if first[-1] == second[-1]:
        return 1 + longest(first[:-1], second[:-1])
    return max(longest(first[:-1], second), longest(first, second[:-1]))


@given(answer=words, expected=words)
def test_rouge_l_is_the_f1_of_the_longest_common_subsequence(answer, expected):
    found = rouge(answer, expected)["rougeL"]
    common = longest(answer, expected)
    if not common:
        assert found == 0
        return
    precision, recall = common / len(answer), common / len(expected)
    assert found == pytest.approx(2 * precision * recall / (precision + recall))


@given(answer=words, expected=words, n=st.sampled_from([1, 2]))
def test_rouge_n_counts_each_gram_as_often_as_both_have_it(answer, expected, n):
    ours = [answer[i : i + n] for i in range(len(answer) - n + 1)]
    theirs = [expected[i : i + n] for i in range(len(expected) - n + 1)]
    matched = sum(min(ours.count(gram), theirs.count(gram)) for gram in set(ours))
    wanted = 2 * matched / (len(ours) + len(theirs)) if matched else 0.0
    assert rouge(answer, expected)[f"rouge{n}"] == pytest.approx(wanted)


def test_a_value_that_can_be_checked_by_hand():
    """Lin, 2004, section 3.1: 'police killed the gunman' against 'police kill the gunman' has an LCS of 3 of 4."""
    answer, expected = tokens("police kill the gunman"), tokens("police killed the gunman")
    assert rouge(answer, expected)["rougeL"] == pytest.approx(0.75)


def test_tokens_are_words_in_lower_case_and_single_east_asian_characters():
    assert tokens("The sky's BLUE_sky, 3.5!") == ["the", "sky", "s", "blue", "sky", "3", "5"]
    assert tokens("天空 is 蓝色abc") == ["天", "空", "is", "蓝", "色", "abc"]


def test_an_empty_answer_scores_zero_and_is_not_left_out():
    figures = Nlg().compute(generations(("", "the sky"), ("the sky", "the sky"), ("left out", None)))
    assert figures == {"rouge1": 0.5, "rouge2": 0.5, "rougeL": 0.5}


def test_rows_without_an_expected_answer_are_refused():
    with pytest.raises(ValueError, match="needs held-out rows with an expected answer"):
        Nlg().compute(generations(("a", None)))


@pytest.mark.skipif(importlib.util.find_spec("sacrebleu") is not None, reason="sacrebleu is installed")
def test_bleu_without_its_package_is_refused_with_the_line_that_installs_it():
    with pytest.raises(ValueError, match=r"^bleu needs the package sacrebleu: pip install 'swift-core\[nlg\]'$"):
        Nlg(bleu=True)


def test_bleu_is_what_the_paper_says(monkeypatch):
    pytest.importorskip("sacrebleu", reason="the extra nlg is not installed")
    answer, expected = "the cat sat on the mat today", "the cat sat on a mat today"
    found = Nlg(bleu=True).compute(generations((answer, expected)))["bleu"]
    precisions = (6 / 7, 4 / 6, 2 / 5, 1 / 4)
    assert found == pytest.approx(100 * math.exp(sum(map(math.log, precisions)) / 4), rel=1e-6)
