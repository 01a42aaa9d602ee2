"""How many of so many runs end as if nothing had happened, by what happened to them: the figures of docs/faults.md.

    python benchmarks/faults.py [--scale 0.1] [--only "SIGKILL inside saves"] [--stages sft dpo]

Only trials in which the fault struck are counted. Exit code 1 unless all of them ended well.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.runs.faulty import TRIALS, Forks, Undisturbed

COUNTS = {
    "SIGKILL inside saves": {"sft": 100, "dpo": 100, "grpo": 20},
    "SIGKILL at any time": {"sft": 100, "dpo": 100, "grpo": 20},
    "SIGTERM, one process": {"sft": 50, "dpo": 50, "grpo": 10},
    "SIGTERM, two processes": {"sft": 20, "dpo": 20},
    "damaged checkpoint": {"sft": 200, "dpo": 200, "grpo": 40},
    "disk full or file limit": {"sft": 20, "dpo": 20, "grpo": 4},
    "loss not finite": {"sft": 20, "dpo": 20},
    "one of two ranks crashes": {"sft": 20, "dpo": 20},
    "a data worker crashes": {"sft": 20, "dpo": 20},
}


def main() -> None:
    """Make the trials and print a line for each kind and stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the trials that is made")
    parser.add_argument("--only", choices=TRIALS, nargs="+", default=list(TRIALS))
    parser.add_argument("--stages", choices=("sft", "dpo", "grpo"), nargs="+", default=["sft", "dpo", "grpo"])
    chosen = parser.parse_args()
    work, forks, failed = Path(tempfile.mkdtemp(prefix="faults-")), Forks(), 0
    undisturbed = Undisturbed(forks, work)
    try:
        for name in chosen.only:
            for stage in (stage for stage in COUNTS[name] if stage in chosen.stages):
                wanted = max(1, round(COUNTS[name][stage] * chosen.scale))
                failed += trials(name, stage, wanted, forks, undisturbed, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    sys.exit(1 if failed else 0)


def trials(name: str, stage: str, wanted: int, forks: Forks, undisturbed: Undisturbed, work: Path) -> int:
    """Make trials until `wanted` faults struck; print the figure and return the number that failed."""
    struck = equal = faults = seed = failed = 0
    start = time.monotonic()
    try:
        while struck < wanted and seed < 4 * wanted + 20:
            folder = work / f"trial-{seed}"
            try:
                hits = TRIALS[name](forks, undisturbed, folder, stage, seed)
                equal += bool(hits)
            except AssertionError as error:
                hits, failed = 1, failed + 1
                print(f"  seed {seed}: {error}", flush=True)
                shutil.rmtree(folder, ignore_errors=True)
            faults, struck, seed = faults + hits, struck + bool(hits), seed + 1
    finally:  # Ctrl-C shows how far it went
        seconds = time.monotonic() - start
        print(f"{name:<26} {stage:<5} {equal:>3} of {struck:>3}  ({faults} faults, {seconds:.0f} s)", flush=True)
    return failed + (struck < wanted)


if __name__ == "__main__":
    main()
