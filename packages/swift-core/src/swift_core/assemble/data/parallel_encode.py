"""Rows encoded by several processes: the same rows, counts and mistakes as by one, in the same order."""

from __future__ import annotations

import multiprocessing
import warnings
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_BATCH = 256
"""Records that a process is given at once."""

_job: Callable[[Sequence[Any]], Any] | None = None
"""What a forked process does with a batch; set before the fork, since an encoder does not travel."""


def in_processes(job: Callable[[Sequence[Any]], Any], items: Iterable[Any], num_proc: int) -> Iterator[Any]:
    """Yield what `job` returns for each batch of `items`, in order; few batches are under way at any time."""
    global _job  # the way into a forked process
    _job = job
    source = iter(items)
    try:
        with (
            warnings.catch_warnings(),
            ProcessPoolExecutor(num_proc, mp_context=multiprocessing.get_context("fork")) as pool,
        ):
            warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads: children only tokenise
            waiting: list[Any] = []
            while True:
                while len(waiting) < 2 * num_proc and (batch := list(islice(source, _BATCH))):
                    waiting.append(pool.submit(_run, batch))
                if not waiting:
                    return
                yield waiting.pop(0).result()
    finally:
        _job = None


def _run(batch: Sequence[Any]) -> Any:
    assert _job is not None  # set before the fork
    return _job(batch)
