"""What a step of every optimizer of the zoo costs beside torch's fused AdamW, as ratios measured in one run.

    python benchmarks/optim_steps.py [--only NAME ...] [--rank N] [--layers N] [--threads N] [--rounds N] [--json FILE]

The parameters are those of a small Llama: 272 tensors, 134.5 M weights in float32. Each optimizer steps in turn with
torch's, on the same parameters and gradients; a figure is the median of the ratios within a round. `cpu` is processor
time over all threads, which other work on the machine disturbs least. `worst` is the longest of these steps over their
median, `early` the longest of the forty after the first, `first` the first one. In `first` the system hands out the
memory of the states; `memory` is what it takes over so much memory alone, and `torch` what the first step of torch's
AdamW takes over its own median. `states` is what is kept over what the optimizer's formula says.
"""

from __future__ import annotations

import argparse
import inspect
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from swift_core.contracts.handover import PartPlan
from swift_core.plugins.options import prepared, read_source
from swift_core.plugins.registry import installed
from swift_core.resolve.state_bytes import state_bytes
from swift_core.train.optimizer_state import optimizer_state_bytes

LAYER = {
    "q_proj": (576, 576),
    "k_proj": (192, 576),
    "v_proj": (192, 576),
    "o_proj": (576, 576),
    "gate_proj": (1536, 576),
    "up_proj": (1536, 576),
    "down_proj": (576, 1536),
    "norm_1": (576,),
    "norm_2": (576,),
}


def shapes(num_layers: int) -> dict[str, tuple[int, ...]]:
    """Return the tensors of a small Llama by name; with fewer layers its vocabulary shrinks in proportion."""
    layers = {f"layers.{n}.{name}.weight": shape for n in range(num_layers) for name, shape in LAYER.items()}
    return {"embed_tokens.weight": (49152 * num_layers // 30, 576), **layers, "norm.weight": (576,)}


NUM_EARLY = 40
"""Steps after the first in which GaLore finds its bases."""


def timed(step: Callable[[], object]) -> tuple[float, float]:
    """Return wall and processor seconds of one step."""
    wall, cpu = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - wall, time.process_time() - cpu


def touched(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """Return new memory of the sizes of the states, written to once."""
    tensors = [value for state in optimizer.state.values() for value in state.values() if torch.is_tensor(value)]
    return [torch.empty_like(value).fill_(0) for value in tensors]


def measure(spec: Any, params: dict[str, torch.nn.Parameter], rank: int, rounds: int) -> dict[str, float]:
    """Return the figures of one optimizer."""
    target = installed().load(spec)
    options = {"rank": rank} if "rank" in inspect.signature(target).parameters and spec.name != "apollo_mini" else {}
    group = {"params": list(params.values()), "param_names": list(params)}
    make = partial(target, [group], **prepared(target, {"lr": 1e-6} | options))
    make().step()  # the system has then had this memory in its hands
    optimizer = make()
    fused = torch.optim.AdamW(list(params.values()), lr=1e-6, fused=True)
    first, first_fused = timed(optimizer.step)[1], timed(fused.step)[1]
    early = [timed(optimizer.step)[1] for _ in range(NUM_EARLY)]
    fused.step()
    pairs = [(timed(fused.step), timed(optimizer.step)) for _ in range(rounds)]
    wall, cpu = (statistics.median(ours[n] / theirs[n] for theirs, ours in pairs) for n in (0, 1))
    median, median_fused = (statistics.median(pair[n][1] for pair in pairs) for n in (1, 0))
    part = PartPlan("optimizer", "", spec, read_source(spec), options, {})
    formula = state_bytes(part, {name: tuple(p.shape) for name, p in params.items()}, 4)
    kept = optimizer_state_bytes(optimizer)
    return {
        "cpu": cpu,
        "wall": wall,
        "worst": max(ours[1] for _, ours in pairs) / median,
        "early": max(early) / median,
        "first": first / median,
        "memory": timed(partial(touched, optimizer))[1] / median,
        "torch": first_fused / median_fused,
        "bytes_per_weight": kept / sum(p.numel() for p in params.values()),
        "states": kept / formula if formula else 1.0,
    }


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="names of optimizers")
    parser.add_argument("--rank", type=int, default=128, help="of projections")
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    params = {name: torch.nn.Parameter(0.02 * torch.randn(shape)) for name, shape in shapes(options.layers).items()}
    for param in params.values():
        param.grad = 1e-3 * torch.randn_like(param)
    rows = {}
    count = sum(param.numel() for param in params.values())
    print(f"{len(params)} tensors, {count / 1e6:.1f} M weights, rank {options.rank}, {options.threads} threads")
    print(
        f"{'optimizer':<22}{'cpu':>7}{'wall':>7}{'worst':>7}{'early':>7}{'first':>7}{'memory':>7}{'torch':>7}{'bytes':>8}{'states':>8}"
    )
    for spec in installed().specs("optimizer"):
        if spec.distribution != "swift-optim-zoo" or (options.only and spec.name not in options.only):
            continue
        rows[spec.name] = row = measure(spec, params, options.rank, options.rounds)
        numbers = f"{row['cpu']:>7.2f}{row['wall']:>7.2f}{row['worst']:>7.2f}"
        numbers += f"{row['early']:>7.2f}{row['first']:>7.2f}{row['memory']:>7.2f}{row['torch']:>7.1f}"
        print(f"{spec.name:<22}{numbers}{row['bytes_per_weight']:>8.2f}{row['states']:>8.3f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
