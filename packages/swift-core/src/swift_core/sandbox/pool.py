"""A pool of confined workers: many items at once, each within its time; a lost item loses nothing but itself.

    pool = WorkerPool("package.module:make", {"option": 1}, timeout=2.0)
    pool.call(item)     # the answer; raises WorkerFailure
    pool.map(items)     # an answer or a WorkerFailure for each

`make(options)` is imported in the workers, never here, and returns what answers one item. Items and answers are what
JSON can say. A worker that takes too long, crashes or floods is killed; a fresh one, started while the deadline ran,
goes on.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from swift_core.sandbox.failures import WorkerFailure, WorkerStartError
from swift_core.sandbox.levels import Level
from swift_core.sandbox.work import Progress, WorkerOptions

if TYPE_CHECKING:
    from swift_core.sandbox.worker import Worker

_MAX_WORKERS = 8
_SLICE_SECONDS = 0.01
"""How much work a worker is given at once; small, so that others are not left without."""

_SPARE_AFTER = 0.25
"""Share of the deadline after which a replacement is started, so that it is ready at the end."""


class WorkerPool:
    """Confined workers that are started when needed and kept. Safe to use from several threads, and after a fork."""

    def __init__(
        self,
        target: str,
        options: Any = None,
        *,
        num_workers: int = 0,
        timeout: float = 10.0,
        memory: int = 2 * 2**30,
        level: Level = "L3",
        require: Level = "L1",
        readable: Sequence[str] = (),
        start_seconds: float = 60.0,
    ) -> None:
        """Describe the workers; none is started yet.

        Args:
            target: `module:attribute`; called with `options` in the worker, it returns what answers one item.
            options: Plain data.
            num_workers: Workers at once; 0 is one for each core, at most 8.
            timeout: Seconds that one item may take, > 0.
            memory: Bytes of address space of a worker.
            level: The best level of confinement to try.
            require: The lowest; below, nothing is run.
            readable: Files and folders that workers may read, beside Python and what is installed.
            start_seconds: Seconds in which a worker must have imported its code.
        """
        if timeout <= 0:
            raise ValueError(f"timeout must be > 0, got {timeout}")
        self.timeout = timeout
        self.num_workers = num_workers or min(os.cpu_count() or 1, _MAX_WORKERS)
        self._options = WorkerOptions(
            target,
            options,
            level=level,
            require=require,
            memory=memory,
            readable=tuple(readable),
            start_seconds=start_seconds,
        )
        self._forget()
        _pools.add(self)

    def _forget(self) -> None:
        """Begin without workers: those of the process that was forked from are not ours."""
        self._owner = os.getpid()
        self._changed = threading.Condition()
        self._idle: list[Worker] = []
        self._num_live = 0
        self._num_starting = 0
        self.num_replaced = 0

    def start(self) -> Worker:
        """Start the first worker if there is none; return one that says its `level` and `info`.

        Raises:
            SandboxUnavailableError: The required level is not reached here.
            WorkerStartError: The code cannot be imported.
        """
        worker = self._borrow()
        self._give_back(worker)
        return worker

    def call(self, item: Any, timeout: float = 0.0) -> Any:
        """Return the answer to one item.

        Args:
            item: Plain data.
            timeout: Seconds; 0 is the pool's own.

        Raises:
            WorkerFailure: There is none.
        """
        (answer,) = self.map([item], timeout)
        if isinstance(answer, WorkerFailure):
            raise answer
        return answer

    def map(self, items: Sequence[Any], timeout: float = 0.0) -> list[Any]:
        """Return the answer to each item, or the WorkerFailure that it came to.

        Args:
            items: Plain data.
            timeout: Seconds that one item may take; 0 is the pool's own.

        Raises:
            SandboxUnavailableError: The required level is not reached here.
            WorkerStartError: The code cannot be imported.
        """
        if not items:
            return []
        batch = _Batch(self, items, timeout or self.timeout)
        return batch.done()

    def close(self) -> None:
        """Kill the workers; the next call starts new ones."""
        if self._owner != os.getpid():
            return
        with self._changed:
            workers, self._idle = self._idle, []
            self._num_live -= len(workers)
        for worker in workers:
            worker.close()

    def __del__(self) -> None:
        if hasattr(self, "_idle"):  # else the constructor refused its options
            self.close()

    def _borrow(self) -> Worker:
        """Return a worker that nobody else has; waits, or starts one."""
        if self._owner != os.getpid():
            self._forget()
        with self._changed:
            while not self._idle and (self._num_live >= self.num_workers or self._num_starting):
                self._changed.wait()
            while self._idle:
                worker = self._idle.pop()
                if worker.alive:
                    return worker
                self._num_live -= 1
            self._num_live += 1
        return self._started()

    def _started(self) -> Worker:
        """Start a worker that was counted already."""
        from swift_core.sandbox.worker import Worker  # and all that it takes to start a process: 20 ms

        try:
            return Worker(self._options)
        except BaseException as error:
            with self._changed:
                self._num_live -= 1
                self._changed.notify()
            if isinstance(error, WorkerFailure):
                raise WorkerStartError(self._options.target, error) from error
            raise

    def _give_back(self, worker: Worker) -> None:
        with self._changed:
            surplus = self._num_live > self.num_workers
            if surplus:
                self._num_live -= 1
            else:
                self._idle.append(worker)
            self._changed.notify()
        if surplus:
            worker.close()

    def _discard(self, worker: Worker) -> None:
        with self._changed:
            self._num_live -= 1
            self.num_replaced += 1
            self._changed.notify()
        threading.Thread(target=worker.close, daemon=True).start()  # namespaces take their time to end

    def _prepare_spare(self) -> None:
        """Start a worker in the background, for when a stuck one is killed; none when one is free."""
        with self._changed:
            if self._idle:
                return
            self._num_live += 1
            self._num_starting += 1
        threading.Thread(target=self._start_spare, daemon=True).start()

    def _start_spare(self) -> None:
        try:
            worker = self._started()
        except Exception:  # whoever needs a worker starts one and sees why it cannot be
            worker = None
        with self._changed:
            self._num_starting -= 1
            if worker is not None:
                self._idle.append(worker)
            self._changed.notify_all()


class _Batch:
    """The items of one call of `map`, shared by the threads that serve a worker each."""

    def __init__(self, pool: WorkerPool, items: Sequence[Any], timeout: float) -> None:
        self._pool, self._items, self._timeout = pool, items, timeout
        self._answers: list[Any] = [None] * len(items)
        self._waiting = deque(range(len(items)))
        self._changed = threading.Condition(threading.RLock())
        self._num_busy = 0
        self._num_idle = 0
        self._num_threads = min(pool.num_workers, len(items))
        self._error: BaseException | None = None

    def done(self) -> list[Any]:
        """Return the answers once all items have one."""
        others = [threading.Thread(target=self._serve, daemon=True) for _ in range(self._num_threads - 1)]
        for thread in others:
            thread.start()
        self._serve()
        for thread in others:
            thread.join()
        if self._error is not None:
            raise self._error
        return self._answers

    def _serve(self) -> None:
        worker: Worker | None = None
        size = 1
        try:
            while True:
                indices = self._taken(size)
                if not indices and worker is not None:  # whoever waits holds no worker: another batch may need it
                    at_rest, worker = worker, None
                    self._pool._give_back(at_rest)
                indices = indices or self._wait_for_some(size)
                if not indices:
                    return
                at_work, worker = worker, None
                worker, seconds = self._served(at_work, indices)
                size = _next_size(len(indices), seconds)
        except BaseException as error:
            self._fail(error)
        finally:
            if worker is not None:
                self._pool._give_back(worker)

    def _wait_for_some(self, size: int) -> list[int]:
        """Return the next items, none when all are done; waits while busy threads may give some back."""
        with self._changed:
            self._num_idle += 1
            while not self._waiting and self._num_busy and self._error is None:
                self._changed.wait()
            self._num_idle -= 1
            return self._taken(size)

    def _taken(self, size: int) -> list[int]:
        """Return the next items, none when none wait."""
        with self._changed:
            if self._error is not None or not self._waiting:
                self._changed.notify_all()
                return []
            fair = max(1, len(self._waiting) // (2 * self._num_threads))
            taken = [self._waiting.popleft() for _ in range(min(size, fair, len(self._waiting)))]
            self._num_busy += 1
            return taken

    def _finish(self) -> None:
        with self._changed:
            self._num_busy -= 1
            self._changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def _give_up(self, indices: Sequence[int]) -> None:
        with self._changed:
            self._waiting.extendleft(reversed(indices))
            self._changed.notify_all()

    def _served(self, worker: Worker | None, indices: list[int]) -> tuple[Worker | None, float]:
        """Return the worker after it served the items, None when it had to be killed, and the seconds it took."""
        try:
            worker = worker or self._pool._borrow()
            return worker, self._run(worker, indices)
        except _LostWorkerError:
            return None, self._timeout
        finally:
            self._finish()

    def _run(self, worker: Worker, indices: list[int]) -> float:
        """Let a worker answer the items at `indices`, and return the seconds it took.

        Raises:
            _LostWorkerError: The worker had to be killed; the item that it was at has its failure.
        """
        share = _Share(self, indices)
        start = time.monotonic()
        try:
            worker.run([self._items[index] for index in indices], self._timeout, share.progress)
        except WorkerFailure as failure:
            self._pool._discard(worker)
            self._answers[share.indices[share.progress.num_done]] = failure
            self._give_up(share.indices[share.progress.num_done + 1 :])
            raise _LostWorkerError from None
        except BaseException:
            self._pool._discard(worker)
            raise
        if share.ran_out_of_memory:  # how much it has left is anybody's guess
            self._pool._discard(worker)
            raise _LostWorkerError
        return time.monotonic() - start


class _Share:
    """What one worker was given of a batch at once."""

    def __init__(self, batch: _Batch, indices: list[int]) -> None:
        self._batch = batch
        self.indices = indices
        self.progress = Progress(on_result=self._keep, on_stuck=self._stuck)
        self.ran_out_of_memory = False
        self._has_spare = False

    def _keep(self, place: int, answer: Any) -> None:
        self._batch._answers[self.indices[place]] = answer
        self.ran_out_of_memory |= isinstance(answer, WorkerFailure) and answer.kind == "memory"

    def _stuck(self, place: int, seconds: float) -> bool:
        """Hand on what the worker has not begun, when others have nothing to do; see to a replacement in time."""
        batch = self._batch
        rest = self.indices[place + 1 :]
        wanted = rest or batch._waiting or len(batch._items) == 1  # after a single call there may be more of them
        if wanted and not self._has_spare and seconds > _SPARE_AFTER * batch._timeout:
            self._has_spare = True
            batch._pool._prepare_spare()
        if not rest or not batch._num_idle:
            return False
        del self.indices[place + 1 :]
        batch._give_up(rest)
        return True


class _LostWorkerError(Exception):
    """The worker is gone, and its item has its failure."""


def _next_size(size: int, seconds: float) -> int:
    """Return how many items are about a slice of work, growing at most fourfold."""
    wanted = size * _SLICE_SECONDS / seconds if seconds else size * 4
    return max(1, min(int(wanted), size * 4, 1024))


_pools: weakref.WeakSet[WorkerPool] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for pool in list(_pools):
        pool.close()
