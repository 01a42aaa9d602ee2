"""Programs in answers, and the tests that data has for them."""

from __future__ import annotations

import ast
import builtins
import inspect
import json
import re
from dataclasses import dataclass
from typing import Any

from swift_reward_zoo._batch import shown
from swift_reward_zoo.answer import _values

_FENCE = re.compile(r"^ {0,3}```[ \t]*(\w*)[^\n]*\n(.*?)^ {0,3}```[ \t]*$", re.DOTALL | re.MULTILINE)
_PYTHON = ("python", "python3", "py")

_HARNESS = """
from __future__ import annotations
import json, sys
{encode}
namespace = {{"__name__": "solution"}}
exec(compile({code!r}, "solution.py", "exec", dont_inherit=True), namespace)
value = eval(compile({expression!r}, "test.py", "eval", dont_inherit=True), namespace)
sys.stdout.write("\\n" + json.dumps(encode(value)) + "\\n")
"""


@dataclass(frozen=True, slots=True)
class Case:
    """One test: a program's input and output, or an expression and its value."""

    stdin: str = ""
    stdout: str | None = None
    """What must be printed; None for a test of a value."""

    expression: str = ""
    expected: str = ""
    """Python for the expected value; it is worked out without the answer."""

    is_json: bool = False
    """True when the expected value was said in JSON, which has no tuples."""


def program_in(response: str) -> str | None:
    """Return the program of an answer: its last fenced Python, else its last fence, else all of it if it is Python."""
    fences = _FENCE.findall(response)
    python = [code for language, code in fences if language.lower() in _PYTHON]
    if python or fences:
        return str(python[-1]) if python else str(fences[-1][1])
    text = response.rpartition("</think>")[2].strip()
    return text if text and _is_python(text) else None


def _is_python(text: str) -> bool:
    try:
        compile(text, "answer", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def harness(code: str, expression: str) -> str:
    """Return a program that runs `code` and prints the code of the value of `expression` as its last line."""
    return _HARNESS.format(encode=inspect.getsource(_values.encode), code=code, expression=expression)


def value_printed(stdout: str) -> Any:
    """Return the code of the value that a harness printed; None when there is none."""
    lines = stdout.rstrip("\n").rpartition("\n")
    try:
        return json.loads(lines[2])
    except (ValueError, RecursionError):
        return None


def read_cases(row: int, tests: Any, *, trust_asserts: bool) -> list[Case]:
    """Return the tests of a row.

    Raises:
        ValueError: There are none, they have no form that is known, or an assert cannot be decided apart.
    """
    if isinstance(tests, str):
        tests = _parsed(tests)
    if isinstance(tests, dict) and "test_cases" in tests:
        tests = tests["test_cases"]
    if isinstance(tests, dict) and "inputs" in tests:
        cases = _lists(row, tests)
    elif isinstance(tests, list) and tests:
        cases = [_case(row, test, trust_asserts) for test in tests]
    else:
        raise ValueError(f"tests of row {row} are {shown(tests)}, neither inputs with outputs nor asserts")
    if not cases:
        raise ValueError(f"row {row} has no tests")
    return cases


def _parsed(text: str) -> Any:
    """Return tests in a text: JSON, or Python with asserts at top level."""
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text
    asserts = [ast.unparse(statement) for statement in statements if isinstance(statement, ast.Assert)]
    return asserts if asserts and len(asserts) == len(statements) else text


def _lists(row: int, tests: dict[str, Any]) -> list[Case]:
    inputs, outputs = tests["inputs"], tests.get("outputs")
    if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs):
        raise ValueError(f"tests of row {row} have not one output for each input")
    name = tests.get("fn_name")
    if not name:
        return [Case(stdin=_text(given), stdout=_text(wanted)) for given, wanted in zip(inputs, outputs, strict=True)]
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"tests of row {row} call {shown(name)}, which is no name")
    return [_call(name, given, wanted) for given, wanted in zip(inputs, outputs, strict=True)]


def _call(name: str, given: Any, wanted: Any) -> Case:
    """Return the test of a call of a function, or of a method of `Solution`."""
    arguments = given if isinstance(given, list) else [given]
    function = f"(globals()[{name!r}] if {name!r} in globals() else getattr(Solution(), {name!r}))"
    return Case(expression=f"{function}(*{arguments!r})", expected=repr(wanted), is_json=True)


def _text(value: Any) -> str:
    """Return an input or output as text; several lines may come as a list."""
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def _case(row: int, test: Any, trust_asserts: bool) -> Case:
    if isinstance(test, str):
        return _assert(row, test, trust_asserts)
    if isinstance(test, dict) and "input" in test and "output" in test:
        name = test.get("fn_name")
        return _call(name, test["input"], test["output"]) if name else Case(_text(test["input"]), _text(test["output"]))
    raise ValueError(f"a test of row {row} is {shown(test)}, neither an input with its output nor an assert")


def _assert(row: int, text: str, trusted: bool) -> Case:
    """Return an assert as an expression and the value that it must have."""
    try:
        (statement,) = ast.parse(text.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"a test of row {row} is {shown(text)}, which is no assert") from None
    if not isinstance(statement, ast.Assert):
        raise ValueError(f"a test of row {row} is {shown(text)}, which is no assert")
    test = statement.test
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], (ast.Eq, ast.Is)):
        sides = [test.left, test.comparators[0]]
        if is_literal(ast.unparse(sides[0])):
            sides.reverse()
        if not is_literal(ast.unparse(sides[0])):
            return Case(expression=ast.unparse(sides[0]), expected=ast.unparse(sides[1]))
    is_false = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    inner = test.operand if isinstance(test, ast.UnaryOp) and is_false else test
    if trusted or _calls_the_answer(inner):
        return Case(expression=f"bool({ast.unparse(inner)})", expected=repr(not is_false))
    raise ValueError(
        f"a test of row {row} is {shown(text)}, which only the answer's own process can decide, and an answer can fake "
        "that; `trust_asserts: true` takes it"
    )


def is_literal(expression: str) -> bool:
    """Say whether an expression is a value written out."""
    try:
        ast.literal_eval(expression)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _calls_the_answer(node: ast.expr) -> bool:
    """Say whether a bare truth is what a function of the answer returned."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not hasattr(builtins, node.func.id)
