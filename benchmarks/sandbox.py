"""What the sandbox costs, and what a hung item costs a batch.

    python benchmarks/sandbox.py [--timeout 2] [--json FILE]

Items answer at once but for those that hang. A batch of 600 with 3 that hang may take what it takes without them, and
for each round of hung items beside each other the timeout and 0.2 s to go on. Times are the medians of the faster
half, beside whatever else the machine does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from swift_core.plugin_api import InferRequest, WorkerFailure, WorkerPool, run_python
from swift_core.sandbox.probe import probe

CODE = """
import time

def make(options):
    def answer(item):
        if item == "hang":
            time.sleep(600)
        if item == "nap":
            time.sleep(0.5)
        return 1.0
    return answer
"""
HUNG = ((1, 2, 3), (100, 300, 500), (597, 598, 599))
RESTART_SECONDS, CALL_SECONDS = 0.2, 1e-4


def main() -> int:
    """Measure, print, return 1 when a budget is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--timeout", type=float, default=2.0, help="seconds that an item may take")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="swift-bench-")
    Path(folder, "bench_handler.py").write_text(CODE)
    sys.path.append(folder)
    print(f"level of this machine: {probe().level}")
    figures = {"calls": calls(), "programs": programs(), "hung": hung(options.timeout), "math": math_per_worker()}
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    late = [row for row in figures["hung"] if row["seconds"] > row["budget"] or not row["right"]]
    slow = [name for name, row in figures["calls"].items() if row["ms_in_a_batch"] > CALL_SECONDS * 1000]
    print(f"over budget: {len(late)} batches, {len(slow)} levels")
    return int(bool(late or slow))


def calls() -> dict[str, dict[str, float]]:
    """Measure the start of a worker and calls of it, at each level."""
    print(f"\n{'level':8}{'start, ms':>12}{'one call, ms':>14}{'in a batch, ms':>16}{'of 4 KB, ms':>14}")
    found = {}
    for level in ("L1", "L2", "L3"):
        if level > probe().level:
            continue
        pool = WorkerPool("bench_handler:make", num_workers=1, level=level, timeout=10.0)
        starts = [best(pool.start, 1, after=pool.close) for _ in range(5)]
        row = {
            "start_ms": min(starts) * 1000,
            "one_call_ms": best(lambda pool=pool: pool.call("small"), 200) * 1000,
            "ms_in_a_batch": best(lambda pool=pool: pool.map(["small"] * 1000), 5) / 1000 * 1000,
            "ms_of_4_kb": best(lambda pool=pool: pool.map(["x" * 4096] * 1000), 3) / 1000 * 1000,
        }
        pool.close()
        found[level] = row
        print(f"{level:8}{row['start_ms']:12.1f}{row['one_call_ms']:14.4f}{row['ms_in_a_batch']:16.4f}", end="")
        print(f"{row['ms_of_4_kb']:14.4f}")
    return found


def programs() -> dict[str, float]:
    """Measure a fresh confined process for one small program, at each level."""
    found = {}
    for level in ("L1", "L2", "L3"):
        if level <= probe().level:
            found[level] = best(lambda level=level: run_python("print(1)", expected="1", level=level), 20) * 1000
    print("\nrun_python, ms:", ", ".join(f"{level} {value:.1f}" for level, value in found.items()))
    return found


def hung(timeout: float) -> list[dict[str, object]]:
    """Measure batches of 600 with 3 items that hang, wherever they lie."""
    print(f"\n600 items, 3 hang, timeout {timeout:g} s")
    print(f"{'workers':>8}{'hung':>18}{'clean, s':>10}{'took, s':>10}{'budget, s':>11}{'right':>7}")
    rows = []
    for num_workers in (1, 2, 4):
        pool = WorkerPool("bench_handler:make", num_workers=num_workers, timeout=timeout)
        pool.map(["small"] * 600)
        clean = best(lambda pool=pool: pool.map(["small"] * 600), 3)
        rows += [hung_batch(pool, places, clean, timeout) for places in HUNG]
        pool.close()
    return rows


def hung_batch(pool: WorkerPool, places: tuple[int, ...], clean: float, timeout: float) -> dict[str, object]:
    """Measure one batch."""
    pool.map(["nap"] * pool.num_workers)  # all workers run, also those that the batch before has lost
    items = ["hang" if place in places else "small" for place in range(600)]
    begun = time.monotonic()
    answers = pool.map(items)
    seconds = time.monotonic() - begun
    kinds = {place: answer.kind for place, answer in enumerate(answers) if isinstance(answer, WorkerFailure)}
    right = kinds == dict.fromkeys(places, "timeout") and answers.count(1.0) == 597
    budget = clean + -(-len(places) // pool.num_workers) * (timeout + RESTART_SECONDS)
    print(f"{pool.num_workers:8}{places!s:>18}{clean:10.3f}{seconds:10.3f}{budget:11.3f}{right!s:>7}")
    return {"workers": pool.num_workers, "hung": places, "seconds": seconds, "budget": budget, "right": right}


def math_per_worker() -> float:
    """Measure comparisons that need computer algebra, a second and worker."""
    from swift_reward_zoo.answer import _symbolic
    from swift_reward_zoo.answer.math import Math

    requests = [InferRequest(messages=[], response=rf"\boxed{{{n}x + \sqrt{{{n}}}}}") for n in range(2, 202)]
    truths = [rf"\sqrt{{{n}}} + {n}x" for n in range(2, 202)]
    Math()(requests, truths)
    seconds = best(lambda: Math()(requests, truths), 3)
    rate = len(requests) / seconds / _symbolic.POOL.num_workers
    print(f"\nmath, answers that need algebra: {rate:.0f} a second and worker ({_symbolic.POOL.num_workers} workers)")
    return rate


def best(work: Callable[[], object], rounds: int, after: Callable[[], object] = lambda: None) -> float:
    """Return the seconds of a round: the median of the faster half."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
        after()
    return statistics.median(sorted(times)[: max(1, rounds // 2)])


if __name__ == "__main__":
    raise SystemExit(main())
