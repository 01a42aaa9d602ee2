"""Computer algebra at arm's length: in confined worker processes, asked in parallel, killed when they take too long.

Only a separate process can be stopped for certain: SymPy may stay in C code that nothing interrupts, and signals
do not reach other threads. Most answers need no algebra at all, and no worker is started for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from swift_core.plugin_api import WorkerPool

POOL = WorkerPool("swift_reward_zoo.answer._symbolic_child:make")
"""The workers of every `math` in this process; none runs until algebra is needed."""

_CAPITAL = re.compile(r"\\math[a-z]+\{[A-Z]\}|\\[A-Za-z]+|([ABDF-HJ-Z])(?:_\{?(\w+)\}?)?(?!\()")
"""Math-verify reads capitals as small letters; C, E and I are constants of either spelling."""

Item = TypeVar("Item")
Result = TypeVar("Result")

_only_cheap: ContextVar[bool] = ContextVar("only_cheap", default=False)


class NeedsAlgebraError(Exception):
    """A comparison that only computer algebra can decide, where only cheap ones are wanted."""


def ask(question: dict[str, Any], timeout: float) -> dict[str, Any]:
    """Return the answer of a worker to `question`.

    Raises:
        WorkerFailure: There was none within `timeout` seconds, or the worker died of the question.
        NeedsAlgebraError: Inside `spread`, for what is put off.
    """
    if _only_cheap.get():
        raise NeedsAlgebraError
    answer: dict[str, Any] = POOL.call(question, timeout)
    return answer


def spread(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return what `work` makes of each item: cheap ones at once, those that need algebra then, as many as workers."""
    results: dict[int, Result] = {}
    put_off: list[int] = []
    with _cheap():
        for place, item in enumerate(items):
            _attempt(work, item, place, results, put_off)
    if put_off:
        with ThreadPoolExecutor(min(POOL.num_workers, len(put_off))) as threads:
            results |= zip(put_off, threads.map(work, [items[place] for place in put_off]), strict=True)
    return [results[place] for place in range(len(items))]


def _attempt(
    work: Callable[[Item], Result], item: Item, place: int, results: dict[int, Result], put_off: list[int]
) -> None:
    try:
        results[place] = work(item)
    except NeedsAlgebraError:
        put_off.append(place)


@contextmanager
def _cheap() -> Iterator[None]:
    token = _only_cheap.set(True)
    try:
        yield
    finally:
        _only_cheap.reset(token)


def latex(text: str) -> str:
    """Return `plain` text as LaTeX: stars are products, and capitals are told from small letters."""
    bare = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    return re.sub(r"\*", r" \\cdot ", _CAPITAL.sub(_as_symbol, bare))


def _as_symbol(found: re.Match[str]) -> str:
    """Return a capital with its index as a symbol that no small letter is; a command as it is."""
    return f"{found[1]}_{{big{found[2] or ''}}}" if found[1] else found.group()
