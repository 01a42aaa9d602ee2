import operator
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_core.plugin_api import InferRequest
from swift_reward_zoo.answer.countdown import Countdown, evaluate

OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
trees = st.recursive(
    st.integers(1, 99),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner),
    max_leaves=6,
)


def work_out(tree):
    """Return text, value and numbers of a made-up expression."""
    if isinstance(tree, int):
        return str(tree), Fraction(tree), [tree]
    (left, a, first), sign, (right, b, second) = work_out(tree[0]), tree[1], work_out(tree[2])
    return f"({left} {sign} {right})", OPERATIONS[sign](a, b), first + second


@given(tree=trees)
def test_expressions_have_the_value_they_were_made_with(tree):
    try:
        text, value, numbers = work_out(tree)
    except ZeroDivisionError:
        return
    assert evaluate(text) == (value, numbers)


@pytest.mark.parametrize(
    "answer",
    [
        "55 + 36 - 7 - 19",
        "55+36-7-19 = 65",
        "\n(55 + 36) - (7 + 19)\n",
        "55 + 36 \u2212 7 - 19",
        "-7 + 55 + 36 - 19",
        "(36 - 19 - 7) + 55",
    ],
)
def test_the_target_from_each_number_once_scores_one(grade, answer):
    assert grade(Countdown(), f"<answer>{answer}</answer>", target=65, nums=[19, 36, 55, 7]) == 1.0


def test_fractions_are_exact_and_a_box_will_do(grade):
    assert grade(Countdown(), r"\boxed{8 \div (3 - 8 / 3)}", target=24, nums=[3, 3, 8, 8]) == 1.0


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "65",
        "55 + 36 - 7",
        "55 + 36 - 7 - 19 - 19 + 19",
        "55 + 36 - 7 - 19 = 66",
        "55 + 36 - 7 - 19 = 65 = 65",
        "55 - 36 + 7 - 19",
        "55 + 36 - 7 - 19 + 0",
        "55 + 36 - 7 - 19 # 65",
        "5 5 + 36 - 7 - 19",
        "55.0 + 36 - 7 - 19",
        "99**98**97",
        "7 // 3",
        "1 / 0",
        "(" * 400,
        "1+" * 200 + "1",
        "9" * 499,
        "__import__('os').getpid()",
        "55 + 36 - 7 - 19 if 1 else 0",
    ],
)
def test_anything_else_scores_zero(grade, answer):
    assert grade(Countdown(), f"<answer>{answer}</answer>", target=65, nums=[19, 36, 55, 7]) == 0.0


def test_a_decimal_does_not_pass_for_two_numbers(grade):
    assert grade(Countdown(), "<answer>3.5</answer>", target=4, nums=[3, 5]) == 0.0


def test_without_a_marked_answer_there_is_none(grade):
    assert grade(Countdown(), "3 + 5", target=8, nums=[3, 5]) == 0.0


@pytest.mark.parametrize(
    ("target", "nums", "message"),
    [
        ("x", [1], r"^target of row 0 is no integer: 'x'$"),
        (1.5, [1], r"^target of row 0 is no integer: 1.5$"),
        (1, "12", r"^nums of row 0 is no list of integers: '12'$"),
        (1, [], r"^nums of row 0 is empty$"),
        (1, [None], r"^nums of row 0 is no integer: None$"),
    ],
)
def test_bad_columns_are_refused_with_their_row(grade, target, nums, message):
    with pytest.raises(ValueError, match=message):
        grade(Countdown(), "<answer>1</answer>", target=target, nums=nums)


def test_refuses_unequal_lengths():
    with pytest.raises(ValueError, match=r"^countdown got 1 responses but 2 target$"):
        Countdown()([InferRequest(messages=[], response="")], [1, 2], [[1]])
