"""Log-probabilities of completions: the tiled kernel against full logits, in CPU seconds and peak memory.

    python benchmarks/logps.py [--tokens 1024] [--hidden 256]

Each figure is a forward and a backward pass in a process of its own, alternated; medians of three. `frozen` is a head
that is not trained, as under adapters. Memory is the peak above that of the process before the pass.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

WAYS = ("full logits", "tiled", "tiled, frozen")
VOCABULARIES = (8_192, 49_152, 151_936)
ROUNDS = 3


def measure(way: str, tokens: int, hidden: int, vocabulary: int) -> dict[str, float]:
    """Return CPU seconds and MiB of one pass in this process."""
    import resource
    import time

    import torch
    from torch import nn

    from swift_core.train.logps import Adjustment, selected_logps

    torch.set_num_threads(1)
    torch.manual_seed(0)
    head = nn.Linear(hidden, vocabulary, bias=False).requires_grad_(way != "tiled, frozen")
    states = torch.randn(tokens, hidden, requires_grad=True)
    labels = torch.randint(0, vocabulary, (tokens,))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    if way == "full logits":
        logps = head(states).log_softmax(-1).gather(1, labels[:, None]).squeeze(1)
    else:
        logps = selected_logps(states, head, labels, Adjustment())
    logps.sum().backward()
    seconds = time.process_time() - start
    return {"seconds": seconds, "mib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024}


def apart(*arguments: object) -> dict[str, float]:
    """Return `measure(*arguments)` from a fresh process."""
    command = [sys.executable, __file__, "--one", json.dumps(arguments)]
    result: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result


def main() -> None:
    """Print one line for each vocabulary and way, with ratios to full logits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*json.loads(arguments.one))))
        return
    print(f"{'vocabulary':>10}  {'way':<14} {'CPU s':>7} {'x full':>7} {'MiB':>8} {'x full':>7}")
    for vocabulary in VOCABULARIES:
        rounds = [
            {way: apart(way, arguments.tokens, arguments.hidden, vocabulary) for way in WAYS} for _ in range(ROUNDS)
        ]
        medians = {
            way: {unit: statistics.median(r[way][unit] for r in rounds) for unit in ("seconds", "mib")} for way in WAYS
        }
        full = medians["full logits"]
        for way, figures in medians.items():
            seconds, mib = figures["seconds"], figures["mib"]
            print(
                f"{vocabulary:>10}  {way:<14} {seconds:7.2f} {seconds / full['seconds']:7.2f} "
                f"{mib:8.0f} {mib / full['mib']:7.2f}"
            )


if __name__ == "__main__":
    main()
