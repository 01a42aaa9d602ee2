"""What unscaling, clipping, the step and a bfloat16 copy cost together, in the native step and in separate passes.

    python benchmarks/native_phase.py [--elements N] [--threads N] [--rounds N]

The model computes in bfloat16 and the optimizer holds float32 weights, as when states are kept in host memory.
Separately: torch widens, unscales and clips the gradients, its fused AdamW steps, and the weights are copied to
bfloat16. In the step: the native AdamW with `grad_scale`, `max_grad_norm` and `write_copies`. Rounds alternate; a ratio
is the median over rounds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from swift_native import AdamW


def timed(function: Callable[[], object]) -> float:
    """Return seconds of wall time."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--elements", type=int, default=25_000_000)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    masters = [torch.nn.Parameter(torch.randn(options.elements)) for _ in range(2)]
    narrow_grad = torch.randn(options.elements).to(torch.bfloat16)
    copies = [torch.empty(options.elements, dtype=torch.bfloat16) for _ in range(2)]
    fused = torch.optim.AdamW([masters[0]], lr=1e-6, fused=True)
    native = AdamW([masters[1]], lr=1e-6, max_grad_norm=1.0)
    native.grad_scale = 1024.0
    native.write_copies({masters[1]: copies[1]})
    masters[1].grad_dtype = None
    masters[1].grad = narrow_grad

    def separately() -> None:
        masters[0].grad = narrow_grad.float()
        masters[0].grad.div_(1024.0)
        torch.nn.utils.clip_grad_norm_([masters[0]], 1.0)
        fused.step()
        copies[0].copy_(masters[0].detach())

    rounds = [(timed(separately), timed(native.step)) for _ in range(options.rounds + 2)][2:]
    separate, together = (1e3 * statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median(one / other for one, other in rounds)
    print(f"{options.elements / 1e6:.1f} M elements, {options.threads} threads")
    print(f"separate passes {separate:.1f} ms, in the step {together:.1f} ms: {ratio:.2f} times")


if __name__ == "__main__":
    main()
