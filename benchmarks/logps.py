"""Log-probabilities of completions: the tiled kernel against full logits, in CPU seconds and peak memory.

    python benchmarks/logps.py [--tokens 1024] [--hidden 256]

Each figure is a forward and a backward pass in a process of its own, alternated; medians of three. `frozen` is a head
that is not trained, as under adapters; `statistics` asks for entropy, top-1 and the sum of squared probabilities. The
second table doubles the tokens. Memory is the peak above that of the process before the pass (Linux).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

WAYS = ("full logits", "tiled", "tiled, statistics", "tiled, frozen")
VOCABULARIES = (8_192, 49_152, 151_936)
ROUNDS = 3


def measure(way: str, tokens: int, hidden: int, vocabulary: int) -> dict[str, float]:
    """Return CPU seconds and MiB of one pass in this process."""
    import time

    import torch
    from step_meter import Meter
    from torch import nn

    from swift_core.train.adjustment import Adjustment
    from swift_core.train.logps import STATISTICS, HeadCall, token_scores

    torch.set_num_threads(1)
    torch.manual_seed(0)
    head = nn.Linear(hidden, vocabulary, bias=False).requires_grad_(way != "tiled, frozen")
    states = torch.randn(tokens, hidden, requires_grad=True)
    labels = torch.randint(0, vocabulary, (tokens,))
    asked = STATISTICS if "statistics" in way else frozenset()
    meter, start = Meter(), time.process_time()
    if way == "full logits":
        logps = head(states).log_softmax(-1).gather(1, labels[:, None]).squeeze(1)
    else:
        logps = token_scores(states, HeadCall.of(head, Adjustment()), labels, asked=asked).logps
    logps.sum().backward()
    return {"seconds": time.process_time() - start, "mib": meter.peak()}


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
    print(f"{'vocabulary':>10} {'tokens':>7}  {'way':<18} {'CPU s':>7} {'x first':>7} {'MiB':>8} {'x first':>7}")
    for vocabulary in VOCABULARIES:
        table([(way, arguments.tokens, arguments.hidden, vocabulary) for way in WAYS])
    for way in ("tiled", "tiled, frozen"):
        table([(way, factor * arguments.tokens, arguments.hidden, VOCABULARIES[1]) for factor in (1, 2, 4)])


def table(cases: list[tuple[str, int, int, int]]) -> None:
    """Measure cases in turn; print medians, and their ratios to the first case."""
    rounds = [[apart(*case) for case in cases] for _ in range(ROUNDS)]
    medians = [
        [statistics.median(one[index][unit] for one in rounds) for unit in ("seconds", "mib")]
        for index in range(len(cases))
    ]
    for (way, tokens, _, vocabulary), (seconds, mib) in zip(cases, medians, strict=True):
        ratios = seconds / medians[0][0], mib / medians[0][1]
        print(
            f"{vocabulary:>10} {tokens:>7}  {way:<18} {seconds:7.2f} {ratios[0]:7.2f} {mib:8.0f} {ratios[1]:7.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
