import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_core.plugin_api import InferRequest
from swift_reward_zoo.answer.json_equal import JsonEqual

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@given(value=values)
def test_a_value_is_equal_to_itself_however_it_is_laid_out(value):
    laid_out = f"Here it is:\n```json\n{json.dumps(value, indent=3, sort_keys=True)}\n```"
    plain = [InferRequest(messages=[], response=text) for text in (json.dumps(value), laid_out)]
    expected = [1.0, 1.0] if isinstance(value, dict | list) else [1.0, 0.0]
    assert JsonEqual()(plain, [json.dumps(value, ensure_ascii=False)] * 2) == expected


@given(first=values, second=values)
def test_agrees_with_python_where_python_has_no_number_for_true(first, second):
    texts = json.dumps(first, sort_keys=True), json.dumps(second, sort_keys=True)
    if texts[0] == texts[1]:
        assert JsonEqual()([InferRequest(messages=[], response=texts[0])], [texts[1]]) == [1.0]
    elif first != second:
        assert JsonEqual()([InferRequest(messages=[], response=texts[0])], [texts[1]]) == [0.0]


@pytest.mark.parametrize(
    ("response", "truth"),
    [
        ('{"b": 2, "a": 1.0}', '{"a": 1, "b": 2}'),
        ('So: {"a": "}"} is it.', '{"a": "}"}'),
        ('{"a": 1} no, {"a": 2}', '{"a": 2}'),
        ('<answer>{"a": [1, 2]}</answer>', '{"a": [1, 2]}'),
        ("```python\nx = {}\n```\n```\n[1]\n```", "[1]"),
        ("1e2", "100"),
        ('{"a": 1}', {"a": 1}),
        ("[1e999999999]", "[10e999999998]"),
        ("{ broken [1, 2]", "[1, 2]"),
    ],
)
def test_right_json_scores_one(grade, response, truth):
    assert grade(JsonEqual(), response, truth) == 1.0


@pytest.mark.parametrize(
    ("response", "truth"),
    [
        ("", "{}"),
        ("true", "1"),
        ('"1"', "1"),
        ("[1, 2]", "[2, 1]"),
        ("[1.00000000000000000000000001]", "[1]"),
        ('{"a": 1, "a": 2}', '{"a": 2}'),
        ("{'a': 1}", '{"a": 1}'),
        ("[NaN]", "[1]"),
        ("[" * 500 + "]" * 500, "[]"),
        ('<think>{"a": 1}', '{"a": 1}'),
        ('{"a": 1', '{"a": 1}'),
        ("[1]" + " " * 200_000 + "[2]", "[2]"),
    ],
)
def test_other_or_broken_json_scores_zero(grade, response, truth):
    assert grade(JsonEqual(), response, truth) == 0.0


def test_order_of_items_may_be_ignored(grade):
    assert grade(JsonEqual(ignore_order=True), "[[1, 2], 3]", "[3, [2, 1]]") == 1.0
    assert grade(JsonEqual(ignore_order=True), "[1, 1, 2]", "[1, 2, 2]") == 0.0


@pytest.mark.parametrize("truth", ["", "seven", "{", None, "NaN"])
def test_a_truth_that_is_no_json_is_refused_with_its_row(truth):
    requests = [InferRequest(messages=[], response="1")] * 2
    with pytest.raises(ValueError, match=r"^ground truth of row 1 is not JSON: "):
        JsonEqual()(requests, ["1", truth])
