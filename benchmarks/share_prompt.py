"""A DPO step whose prompts are computed once, against one that computes them for each answer: CPU seconds and memory.

    python benchmarks/share_prompt.py [--vocabulary 49152] [--shape small] [--pairs 4] [--rounds 5] [--prompts 512 ...]

The model and the rows are those of `step_case.py`: 4 pairs a step, hidden size 256, 4 layers, unless told otherwise.
Each figure is a run of its own through `swift`'s own pipeline (reference, clipping, AdamW), one thread, alternated;
medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ANSWERS = {512: 64, 256: 256, 64: 256}
"""Tokens of the prompt -> of each answer."""

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def measure(folder: Path, tuner: str, share: bool) -> dict[str, float]:
    """Return the figures of one run in a fresh process."""
    command = [sys.executable, str(HERE / "step_ours.py"), str(folder), "dpo", tuner, "shared" if share else "unshared"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | ONE_THREAD)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Print one line for each shape and tuner, with the ratio of unshared to shared."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, default=49_152)
    parser.add_argument("--shape", default="small")
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompts", type=int, nargs="*", default=list(ANSWERS), choices=ANSWERS)
    arguments = parser.parse_args()
    print(f"{'prompt + answer':<16} {'tuner':<6} {'twice s':>8} {'once s':>8} {'ratio':>6} {'MiB':>6} {'once':>6}")
    for prompt in arguments.prompts:
        answer = ANSWERS[prompt]
        with tempfile.TemporaryDirectory() as scratch:
            sizes = {"vocabulary": arguments.vocabulary, "shape": arguments.shape, "pairs": arguments.pairs}
            sizes |= {"prompt": prompt, "completion": answer}
            options = [text for name, value in sizes.items() for text in (f"--{name}", str(value))]
            case = [sys.executable, str(HERE / "step_case.py"), scratch, *options]
            subprocess.run(case, check=True, capture_output=True)
            for tuner in ("full", "lora"):
                report(f"{prompt} + {answer}", tuner, Path(scratch), arguments.rounds)


def report(shape: str, tuner: str, folder: Path, rounds: int) -> None:
    """Measure one case, alternated, and print its line."""
    runs = [{share: measure(folder, tuner, share) for share in (False, True)} for _ in range(rounds)]
    twice, once = (
        {unit: statistics.median(r[share][unit] for r in runs) for unit in ("seconds", "mib")}
        for share in (False, True)
    )
    ratio = twice["seconds"] / once["seconds"]
    seconds = f"{twice['seconds']:8.2f} {once['seconds']:8.2f} {ratio:6.2f}"
    print(f"{shape:<16} {tuner:<6} {seconds} {twice['mib']:6.0f} {once['mib']:6.0f}", flush=True)


if __name__ == "__main__":
    main()
