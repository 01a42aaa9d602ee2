"""Code for workers, and what this machine can do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swift_core.sandbox.levels import Level, reaches
from swift_core.sandbox.pool import WorkerPool
from swift_core.sandbox.probe import probe

HANDLERS = """
import ctypes, os, sys, time

class Handler:
    def __init__(self, options):
        self.info = {"options": options, "modules": sorted(sys.modules), "environment": dict(os.environ)}
        self.calls = 0

    def __call__(self, item):
        self.calls += 1
        return getattr(self, item[0])(*item[1:]) if isinstance(item, list) else item

    def count(self):
        return self.calls

    def process(self):
        return os.getppid(), os.getpid()

    def hang(self):
        while True:
            pass

    def sleep(self, seconds):
        time.sleep(seconds)
        return seconds

    def crash(self):
        ctypes.string_at(0)

    def leave(self):
        os._exit(3)

    def fill(self, size):
        return len(bytearray(size))

    def flood(self, size):
        return "x" * size

    def fail(self, text):
        raise KeyError(text)

    def stop(self):
        raise SystemExit(1)

    def say(self):
        print("printed")
        os.write(1, b"written")
        os.write(2, b"written")
        return "said"

    def odd(self):
        return {1, 2}

    def forge(self):
        for descriptor in range(3, 32):
            try:
                os.write(descriptor, b"\\0\\0\\0\\2[]")
            except OSError:
                pass
        return "forged"

    def read(self, path):
        return open(path).read()

    def nested(self):
        value = []
        for _ in range(100_000):
            value = [value]
        return value


def make(options):
    return Handler(options)
"""


@pytest.fixture(scope="session")
def handlers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the module `sandbox_handlers`."""
    folder = tmp_path_factory.mktemp("handlers")
    (folder / "sandbox_handlers.py").write_text(HANDLERS)
    (folder / "sandbox_broken.py").write_text("import module_that_is_not_there\n")
    (folder / "sandbox_slow.py").write_text("import time\ntime.sleep(60)\n")
    return folder


@pytest.fixture
def make_pool(handlers: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., WorkerPool]]:
    """Return a maker of pools whose workers are ended after the test."""
    monkeypatch.syspath_prepend(str(handlers))
    pools: list[WorkerPool] = []

    def make(target: str = "sandbox_handlers:make", **options: Any) -> WorkerPool:
        pools.append(WorkerPool(target, **{"num_workers": 1, "timeout": 5.0, **options}))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def need(level: Level) -> None:
    """Skip when this machine does not reach `level`, with the reason."""
    if not reaches(probe().level, level):
        pytest.skip(f"{level}: {probe().reasons[level]}")
