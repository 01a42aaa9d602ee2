"""Code tests: 1 when the program in an answer passes the tests of its row, else 0.

    score = 1 if all tests pass, or with `partial` the share that does

The rule of APPS: Hendrycks et al., 2021, arXiv:2105.09938, and of MBPP: Austin et al., 2021, arXiv:2108.07732. Each
test runs in a fresh confined process. What is expected stays out of it, and the whole output counts.
"""

from __future__ import annotations

import ast
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from swift_core.plugin_api import ProgramResult, require_positive, run_python
from swift_reward_zoo._batch import check_lengths
from swift_reward_zoo.answer._code import Case, harness, is_literal, program_in, read_cases, value_printed
from swift_reward_zoo.answer._values import encode, loosened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.plugin_api import InferRequest

_MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTests:
    """Whether a program passes its tests: 1.0 or 0.0, or the share that it passes."""

    timeout: float = 6.0
    """Seconds that one test may take, > 0."""

    memory: int = 512
    """MiB of memory that one test may take, > 0."""

    partial: bool = False
    """Score the share of tests that pass; false pays only for all of them."""

    packages: bool = False
    """Let programs import what is installed, such as numpy, beside the standard library."""

    trust_asserts: bool = False
    """Take asserts that only the program's own process can decide; a program can fake those."""

    require: Literal["L1", "L2", "L3"] = "L2"
    """The lowest sandbox level; below it nothing is run. L1 lets programs read files and use the network."""

    scope: ClassVar[str] = "sample"
    own_sandbox: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the options."""
        require_positive(timeout=self.timeout, memory=self.memory)

    def __call__(
        self,
        infer_requests: Sequence[InferRequest],
        *,
        tests: Sequence[Any] | None = None,
        ground_truth: Sequence[Any] | None = None,
    ) -> list[float]:
        """Return the scores; a program that hangs, crashes or takes too much memory fails its test.

        Args:
            infer_requests: The answers.
            tests: The tests of each row; without this column they are the ground truth.
            ground_truth: The same.

        Raises:
            ValueError: A row has no tests that can be read, or there are not as many as answers.
            SandboxUnavailableError: The machine does not reach the level that is required.
        """
        check_lengths("code_tests", infer_requests, {"tests": tests, "ground truths": ground_truth})
        given = tests if tests is not None else ground_truth
        if not infer_requests:
            return []
        if given is None:
            raise ValueError("code_tests needs a column `tests`, or ground truths, and the data has neither")
        cases = [read_cases(row, told, trust_asserts=self.trust_asserts) for row, told in enumerate(given)]
        programs = [program_in(request.response or "") for request in infer_requests]
        with ThreadPoolExecutor(os.cpu_count() or 1) as threads:
            return list(threads.map(self._score, range(len(cases)), programs, cases))

    def _score(self, row: int, program: str | None, cases: list[Case]) -> float:
        if program is None:
            return 0.0
        passed = 0
        for case in cases:
            if self._passes(row, program, case):
                passed += 1
            elif not self.partial:
                return 0.0
        return passed / len(cases)

    def _passes(self, row: int, program: str, case: Case) -> bool:
        if case.stdout is not None:
            return self._run(program, case.stdin, case.stdout).status == "ok"
        expected = self._expected(row, case)
        result = self._run(harness(program, case.expression))
        if result.status != "ok":
            return False
        value = value_printed(result.stdout)
        if not case.is_json:
            return bool(value == expected)
        alone = expected[1][0] if expected[0] == "list" and len(expected[1]) == 1 else expected
        return loosened(value) in (expected, alone)  # APPS puts what a call returns into a list

    def _expected(self, row: int, case: Case) -> Any:
        """Return the code of the expected value, worked out without the answer."""
        value = _worked_out(case.expected, self.require)
        if value is None:
            raise ValueError(
                f"a test of row {row} expects {case.expected}, which without the answer has no value to compare"
            )
        return value

    def _run(self, code: str, stdin: str = "", stdout: str | None = None) -> ProgramResult:
        return run_python(
            code,
            stdin,
            self.timeout,
            self.memory * _MEBIBYTE,
            expected=stdout,
            packages=self.packages,
            require=self.require,
        )


@lru_cache(maxsize=4096)
def _worked_out(expression: str, require: Literal["L1", "L2", "L3"]) -> Any:
    """Return the code of an expression's value, from a process of its own; None when it has none."""
    if is_literal(expression):
        return encode(ast.literal_eval(expression))
    result = run_python(harness("import math, cmath, collections, itertools", expression), require=require)
    return value_printed(result.stdout) if result.status == "ok" else None
