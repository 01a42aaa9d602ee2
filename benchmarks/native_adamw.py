"""What a step of the native AdamW costs beside torch's own, as ratios measured in one run.

    python benchmarks/native_adamw.py [--set one|llama|tiny] [--elements N] [--threads N] [--rounds N] [--json FILE]

Each round takes one step with every variant, in turn, so that a busy machine slows all alike; a figure is the median of
the rounds, and a ratio the median of the ratios within a round. The bound is a kernel that moves the same memory with
almost no arithmetic (four arrays read, three of them written in place, 28 bytes an element). All variants work on the
same parameters and gradients and have moments of their own. The `cpu` column is processor time over all threads.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from array import array
from collections.abc import Callable
from pathlib import Path

import torch

from swift_native import AdamW, _native, current_isa

Step = Callable[[], object]

NATIVE, BOUND, FUSED, FOREACH = "swift_native", "bound (traffic only)", "torch fused", "torch foreach"


def shapes(name: str, num_elements: int) -> list[tuple[int, ...]]:
    """Return the tensors to train: one, those of a small Llama (272 tensors), or 272 of 64 elements."""
    if name == "one":
        return [(num_elements,)]
    if name == "tiny":
        return [(64,)] * 272
    layer = [(576, 576), (192, 576), (192, 576), (576, 576), (1536, 576), (1536, 576), (576, 1536), (576,), (576,)]
    return [(49152, 576), *(layer * 30), (576,)]


def variants(params: list[torch.nn.Parameter], grads: list[torch.Tensor], with_foreach: bool) -> dict[str, Step]:
    """Return one step of each variant over `params`, by name."""
    made: dict[str, Step] = {
        NATIVE: AdamW(params, lr=1e-6).step,
        BOUND: traffic(params, grads),
        FUSED: torch.optim.AdamW(params, lr=1e-6, fused=True).step,
    }
    if with_foreach:
        made[FOREACH] = torch.optim.AdamW(params, lr=1e-6, foreach=True).step
    return made


def traffic(params: list[torch.nn.Parameter], grads: list[torch.Tensor]) -> Step:
    """Return a pass over the parameters, gradients and moments of their own with almost no arithmetic."""
    moments = [(torch.zeros_like(param), torch.zeros_like(param)) for param in params]
    counts = torch.zeros(len(params))
    rows = array("q")
    for index, (param, grad, (first, second)) in enumerate(zip(params, grads, moments, strict=True)):
        pointers = (param.data_ptr(), grad.data_ptr(), first.data_ptr(), second.data_ptr(), 0)
        rows.extend((*pointers, counts[index].data_ptr(), param.numel(), 0, 0, 0))

    def step() -> tuple[object, ...]:
        _native.adamw_traffic(rows, torch.get_num_threads())
        return moments, counts  # what the rows point to lives as long as the step does

    return step


def measure(steps: dict[str, Step], num_rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return wall and processor seconds of each round, by variant; two rounds to warm up are left out."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for round_number in range(num_rounds + 2):
        for name, step in steps.items():
            wall, cpu = time.perf_counter(), time.process_time()
            step()
            if round_number >= 2:
                seconds[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return seconds


def summary(seconds: dict[str, list[tuple[float, float]]], num_elements: int) -> dict[str, dict[str, float]]:
    """Return medians: milliseconds, GB/s, share of the bound's speed, and speed as multiples of torch's fused."""

    def speed(name: str, other: str, column: int) -> float:
        pairs = zip(seconds[name], seconds[other], strict=True)
        return statistics.median(theirs[column] / ours[column] for ours, theirs in pairs)

    rows = {}
    for name, rounds in seconds.items():
        wall = statistics.median(pair[0] for pair in rounds)
        rows[name] = {
            "wall_ms": 1e3 * wall,
            "cpu_ms": 1e3 * statistics.median(pair[1] for pair in rounds),
            "gb_per_s": 28e-9 * num_elements / wall,
            "of_bound": speed(name, BOUND, 0),
            "times_fused": speed(name, FUSED, 0),
            "times_fused_cpu": speed(name, FUSED, 1),
        }
    return rows


def table(rows: dict[str, dict[str, float]]) -> str:
    """Return the figures as lines of text."""
    head = f"{'variant':<22}{'wall ms':>10}{'cpu ms':>10}{'GB/s':>8}{'of bound':>10}{'x fused':>9}{'x fused cpu':>13}"
    lines = [
        f"{name:<22}{row['wall_ms']:>10.3f}{row['cpu_ms']:>10.3f}{row['gb_per_s']:>8.1f}"
        f"{row['of_bound']:>10.2f}{row['times_fused']:>9.2f}{row['times_fused_cpu']:>13.2f}"
        for name, row in rows.items()
    ]
    return "\n".join([head, *lines])


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=("one", "llama", "tiny"), default="one", help="which tensors")
    parser.add_argument("--elements", type=int, default=25_000_000, help="elements of the one tensor")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-foreach", action="store_true", help="leave torch's foreach variant out")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    params = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes(options.set, options.elements)]
    grads = [1e-3 * torch.randn_like(param).detach() for param in params]
    for param, grad in zip(params, grads, strict=True):
        param.grad = grad
    num_elements = sum(param.numel() for param in params)
    rows = summary(measure(variants(params, grads, not options.no_foreach), options.rounds), num_elements)

    print(f"{len(params)} tensors, {num_elements / 1e6:.1f} M elements, {options.threads} threads, isa {current_isa()}")
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
