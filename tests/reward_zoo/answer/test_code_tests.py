import json

import pytest

from swift_core.plugin_api import InferRequest
from swift_reward_zoo.answer._code import program_in
from swift_reward_zoo.answer._values import encode
from swift_reward_zoo.answer.code_tests import CodeTests

ADD = "def add(a, b):\n    return a + b\n"
READS = "a, b = map(int, input().split())\nprint(a + b)\n"


def score(code, tests, **options):
    answer = code if code.startswith("<") else f"So:\n```python\n{code}\n```\n"
    (value,) = CodeTests(**options)([InferRequest(messages=[], response=answer)], tests=[tests])
    return value


@pytest.mark.parametrize(
    "tests",
    [
        {"inputs": ["1 2\n", "40 2"], "outputs": ["3\n", "42"]},
        {"inputs": [["1 2"]], "outputs": [["3"]]},
        [{"input": "1 2\n", "output": "3\n"}],
        {"language": "python", "test_cases": [{"input": "1 2\n", "output": "3\n", "type": "stdin_stdout"}]},
        '{"inputs": ["1 2"], "outputs": ["3"]}',
    ],
)
def test_a_program_that_prints_what_is_expected_scores_one(tests):
    assert score(READS, tests) == 1.0
    assert score(READS.replace("a + b", "a - b"), tests) == 0.0


@pytest.mark.parametrize(
    "tests",
    [
        ["assert add(1, 2) == 3", "assert add([1], [2]) == [1, 2]"],
        ["assert 3 == add(1, 2), 'a message'"],
        "assert add(1, 2) == 3\nassert add('a', 'b') == 'ab'\n",
        ["assert set(add([1], [2])) == set((2, 1))"],
        ["assert add(1, 2)", "assert not add(0, 0)"],
        {"inputs": [[1, 2], [[1], [2]]], "outputs": [3, [1, 2]], "fn_name": "add"},
        {"inputs": [[1, 2]], "outputs": [[3]], "fn_name": "add"},
        json.dumps({"inputs": [[1, 2]], "outputs": [3], "fn_name": "add"}),
    ],
)
def test_a_function_that_returns_what_is_expected_scores_one(tests):
    assert score(ADD, tests) == 1.0
    assert score(ADD.replace("a + b", "None"), tests) == 0.0


def test_a_method_of_solution_is_found():
    code = "class Solution:\n    def add(self, a, b):\n        return (a, b)\n"
    assert score(code, {"inputs": [[1, 2]], "outputs": [[1, 2]], "fn_name": "add"}) == 1.0


def test_a_share_of_the_tests_is_paid_only_when_asked():
    tests = ["assert add(1, 2) == 3", "assert add(1, 2) == 4", "assert add(0, 0) == 0", "assert add(1, 1) == 3"]
    assert score(ADD, tests) == 0.0
    assert score(ADD, tests, partial=True) == 0.5


@pytest.mark.parametrize(
    "code",
    [
        "import sys; sys.exit(0)",
        "import os; os._exit(0)",
        "print(3); import os; os._exit(0)",
        "class Any:\n    def __eq__(self, other): return True\ndef add(a, b): return Any()",
        "import builtins\nbuiltins.eval = lambda *a: 5\ndef add(a, b): return 4",
        "class Three(int):\n    def __eq__(self, other): return True\ndef add(a, b): return Three(4)",
        'import json\njson.dumps = lambda *a: \'["number", "4"]\'\ndef add(a, b): return 4',
        "def add(a, b): raise SystemExit(0)",
        "def add(a, b):\n    while True: pass",
        "def add(a, b): return bytearray(10**12)",
        "import gc\ndef add(a, b): return [o for o in gc.get_objects()]",
        "def add(a, b)",
        "",
    ],
)
def test_a_program_cannot_pass_without_the_right_value(code):
    assert score(code, ["assert add(1, 2) == 3"], timeout=1.0) == 0.0


def test_printing_the_whole_of_a_guess_passes_only_if_it_is_right():
    assert score("print(3)", {"inputs": ["1 2", "2 2"], "outputs": ["3", "4"]}) == 0.0
    assert score("print('3\\n4')", {"inputs": ["1 2"], "outputs": ["3"]}) == 0.0


def test_what_runs_only_as_main_does_not_run_when_a_function_is_tested():
    assert score(ADD + "if __name__ == '__main__':\n    print(add(*input()))\n", ["assert add(1, 2) == 3"]) == 1.0
    assert score("if __name__ == '__main__':\n    print(3)\n", {"inputs": [""], "outputs": ["3"]}) == 1.0


@pytest.mark.parametrize(
    "test", ["assert abs(add(1, 2) - 3) < 1e-6", "assert add(1, 2) != 4", "assert add(1, 2) in [3]"]
)
def test_an_assert_that_can_be_faked_is_refused_unless_it_is_trusted(test):
    with pytest.raises(ValueError, match=r"^a test of row 0 is .*`trust_asserts: true` takes it$"):
        score(ADD, [test])
    assert score(ADD, [test], trust_asserts=True) == 1.0
    assert score(ADD.replace("a + b", "4"), [test], trust_asserts=True) == 0.0


@pytest.mark.parametrize(
    ("tests", "message"),
    [
        (None, "tests of row 0 are None, neither"),
        ([], r"tests of row 0 are \[\], neither"),
        ({"inputs": ["1"], "outputs": []}, "tests of row 0 have not one output for each input"),
        ({"inputs": [], "outputs": []}, "row 0 has no tests"),
        (["print(1)"], r"a test of row 0 is 'print\(1\)', which is no assert"),
        (["assert add("], r"a test of row 0 is 'assert add\(', which is no assert"),
        ([3], "a test of row 0 is 3, neither"),
        ("def check(candidate):\n    assert candidate(1) == 2", "tests of row 0 are 'def check"),
        ({"inputs": [[1]], "outputs": [2], "fn_name": "a b"}, "tests of row 0 call 'a b', which is no name"),
        (
            ["assert add(1, 2) == add(2, 1)"],
            r"a test of row 0 expects add\(2, 1\), which without the answer has no value to compare",
        ),
    ],
)
def test_tests_that_cannot_be_read_are_refused_with_their_row(tests, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        score(ADD, tests)


def test_columns_and_ground_truths_are_both_read():
    request = InferRequest(messages=[], response=f"```python\n{ADD}```")
    assert CodeTests()([request], ground_truth=['["assert add(1, 2) == 3"]']) == [1.0]
    with pytest.raises(ValueError, match="needs a column `tests`, or ground truths"):
        CodeTests()([request])
    with pytest.raises(ValueError, match="code_tests got 1 responses but 2 tests"):
        CodeTests()([request], tests=[["assert add(1, 2) == 3"]] * 2)


@pytest.mark.parametrize(
    ("response", "program"),
    [
        ("```python\na = 1\n```", "a = 1\n"),
        ("```py\na = 1\n```\ntext\n```\noutput\n```", "a = 1\n"),
        ("```\na = 1\n```", "a = 1\n"),
        ("```python\na = 1\n```\n```python\na = 2\n```", "a = 2\n"),
        ("<think>```python\na = 1\n```</think>```python\nb = 2\n```", "b = 2\n"),
        ("a = 1", "a = 1"),
        ("<think>so</think>\na = 1", "a = 1"),
        ("I do not know.", None),
        ("", None),
    ],
)
def test_the_program_of_an_answer(response, program):
    assert program_in(response) == program


def test_values_are_equal_as_python_has_it():
    values = [1, 1.0, True, 2, "1", b"1", None, [1], (1,), {1}, frozenset({1}), {1: 2}, {1.0: 2.0}, 0.5, 1j, [[]], [()]]
    for one in values:
        for other in values:
            assert (encode(one) == encode(other)) is (one == other), (one, other)
    assert encode(float("nan")) is None
    assert encode([object()]) is None
    assert encode({2, 1}) == encode({1, 2})


def test_numbers_beyond_floats_keep_their_digits():
    assert score("def f(): return 2**200", [f"assert f() == {2**200}"]) == 1.0
    assert score("def f(): return 2**200 + 1", [f"assert f() == {2**200}"]) == 0.0
