"""What a step of the native AdamW costs beside others, as ratios measured in one run.

    python benchmarks/native_adamw.py [--set one|llama|tiny] [--elements N] [--threads N] [--rounds N] [--json FILE]
                                      [--variants WORD ...] [--foreach]

Each round takes one step with every variant, in turn, so that a busy machine slows all alike; a figure is the median of
the rounds, and a ratio the median of the ratios within a round. The bounds are kernels that move the same memory with
almost no arithmetic (four arrays read, three of them written in place, 28 bytes an element), with moments on huge
pages, as the optimizer asks for, and without. All variants work on the same parameters and gradients, in float32 or
bfloat16, and have moments of their own. The `cpu` column is processor time over all threads. DeepSpeed's CPU Adam,
bitsandbytes and torchao are measured where they are installed; they do not come with swift. torchao keeps float32
states of a tensor whose size is no multiple of 256: give --elements one to measure its 8-bit codes.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from swift_native import AdamW, _native, current_isa

Step = Callable[[], object]
Params = list[torch.nn.Parameter]

BOUND, FUSED = "bound", "torch fused"
NATIVE: dict[str, tuple[torch.dtype, dict[str, Any]]] = {
    "fp32": (torch.float32, {}),
    "bf16 moments": (torch.float32, {"moments": "bf16"}),
    "8bit moments": (torch.float32, {"moments": "8bit"}),
    "bf16 stochastic": (torch.bfloat16, {"rounding": "stochastic"}),
    "bf16 stochastic, bf16 moments": (torch.bfloat16, {"rounding": "stochastic", "moments": "bf16"}),
    "bf16 kahan, bf16 moments": (torch.bfloat16, {"rounding": "kahan", "moments": "bf16"}),
    "bf16 stochastic, 8bit moments": (torch.bfloat16, {"rounding": "stochastic", "moments": "8bit"}),
}
"""Formats of the native AdamW: dtype of the parameters, and options."""


def shapes(name: str, num_elements: int) -> list[tuple[int, ...]]:
    """Return the tensors to train: one, those of a small Llama (272 tensors), or 272 of 64 elements."""
    if name == "one":
        return [(num_elements,)]
    if name == "tiny":
        return [(64,)] * 272
    layer = [(576, 576), (192, 576), (192, 576), (576, 576), (1536, 576), (1536, 576), (576, 1536), (576,), (576,)]
    return [(49152, 576), *(layer * 30), (576,)]


def parameters(which: list[tuple[int, ...]], dtype: torch.dtype) -> Params:
    """Return parameters with gradients."""
    params = [torch.nn.Parameter(torch.randn(shape).to(dtype)) for shape in which]
    for param in params:
        param.grad = (1e-3 * torch.randn_like(param, dtype=torch.float32)).to(dtype)
    return params


def variants(wide: Params, narrow: Params, words: list[str], with_foreach: bool) -> dict[str, Step]:
    """Return one step of each variant, by name; those whose name has one of `words`, if there are words, and fused."""
    made: dict[str, Callable[[], Step]] = {FUSED: lambda: torch.optim.AdamW(wide, lr=1e-6, fused=True).step}
    made[BOUND] = lambda: traffic(wide, False)
    made[f"{BOUND}, huge pages"] = lambda: traffic(wide, True)
    for name, (dtype, options) in NATIVE.items():
        params = wide if dtype is torch.float32 else narrow
        made[f"native {name}"] = lambda params=params, options=options: AdamW(params, lr=1e-6, **options).step
    made["torch fused, all bf16"] = lambda: torch.optim.AdamW(narrow, lr=1e-6, fused=True).step
    if with_foreach:
        made["torch foreach"] = lambda: torch.optim.AdamW(wide, lr=1e-6, foreach=True).step
    made |= peers(wide, narrow)
    keep = [name for name in made if name in (FUSED, BOUND) or not words or any(word in name for word in words)]
    return {name: made[name]() for name in keep}


def peers(wide: Params, narrow: Params) -> dict[str, Callable[[], Step]]:
    """Return the steps of other libraries that are installed."""
    made: dict[str, Callable[[], Step]] = {}
    if importlib.util.find_spec("deepspeed"):
        from deepspeed.ops.adam import DeepSpeedCPUAdam

        made["DeepSpeedCPUAdam"] = lambda: DeepSpeedCPUAdam(wide, lr=1e-6).step
        made["DeepSpeedCPUAdam, bf16"] = lambda: DeepSpeedCPUAdam(narrow, lr=1e-6, fp32_optimizer_states=False).step
    if importlib.util.find_spec("bitsandbytes"):
        import bitsandbytes

        made["bitsandbytes 8bit"] = lambda: bitsandbytes.optim.AdamW8bit(wide, lr=1e-6).step
        made["bitsandbytes 32bit"] = lambda: bitsandbytes.optim.AdamW32bit(wide, lr=1e-6).step
    if importlib.util.find_spec("torchao"):
        from torchao.optim import AdamW8bit

        made["torchao 8bit"] = lambda: AdamW8bit(wide, lr=1e-6).step
    return made


def traffic(params: Params, on_huge_pages: bool) -> Step:
    """Return a pass over the parameters, gradients and moments of their own with almost no arithmetic."""
    moments = [(zeros(param, on_huge_pages), zeros(param, on_huge_pages)) for param in params]
    counts = torch.zeros(len(params))
    rows = array("q")
    for index, (param, (first, second)) in enumerate(zip(params, moments, strict=True)):
        assert param.grad is not None
        rows.extend((param.data_ptr(), param.grad.data_ptr(), first.data_ptr(), second.data_ptr(), *[0] * 6))
        rows.extend((counts[index].data_ptr(), param.numel(), *[0] * 5))

    def step() -> tuple[object, ...]:
        _native.traffic(rows, torch.get_num_threads())
        return moments, counts  # what the rows point to lives as long as the step does

    return step


def zeros(param: torch.Tensor, on_huge_pages: bool) -> torch.Tensor:
    """Return zeros like `param`."""
    empty = torch.empty_like(param, requires_grad=False)
    if on_huge_pages:
        _native.ask_for_huge_pages(empty.data_ptr(), empty.nbytes)
    return empty.zero_()


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


def summary(seconds: dict[str, list[tuple[float, float]]]) -> dict[str, dict[str, float]]:
    """Return medians: milliseconds, share of the bound's speed, and speed as multiples of torch's fused."""

    def speed(name: str, other: str, column: int) -> float:
        pairs = zip(seconds[name], seconds[other], strict=True)
        return statistics.median(theirs[column] / ours[column] for ours, theirs in pairs)

    rows = {}
    for name, rounds in seconds.items():
        rows[name] = {
            "wall_ms": 1e3 * statistics.median(pair[0] for pair in rounds),
            "least_ms": 1e3 * min(pair[0] for pair in rounds),
            "cpu_ms": 1e3 * statistics.median(pair[1] for pair in rounds),
            "of_bound": speed(name, BOUND, 0),
            "times_fused": speed(name, FUSED, 0),
            "times_fused_cpu": speed(name, FUSED, 1),
        }
    return rows


def table(rows: dict[str, dict[str, float]]) -> str:
    """Return the figures as lines of text."""
    head = f"{'variant':<38}{'wall ms':>10}{'least':>10}{'cpu ms':>10}{'of bound':>10}{'x fused':>9}{'x fused cpu':>13}"
    lines = [
        f"{name:<38}{row['wall_ms']:>10.3f}{row['least_ms']:>10.3f}{row['cpu_ms']:>10.3f}"
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
    parser.add_argument("--variants", nargs="*", default=[], help="parts of the names of the variants to measure")
    parser.add_argument("--foreach", action="store_true", help="also torch's foreach variant")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    which = shapes(options.set, options.elements)
    wide, narrow = parameters(which, torch.float32), parameters(which, torch.bfloat16)
    rows = summary(measure(variants(wide, narrow, options.variants, options.foreach), options.rounds))

    num_elements = sum(param.numel() for param in wide)
    print(f"{len(wide)} tensors, {num_elements / 1e6:.1f} M elements, {options.threads} threads, isa {current_isa()}")
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
