"""A whole training step: ours against TRL's trainers and a plain PyTorch loop, in CPU seconds and peak memory.

    python -m venv /tmp/trl
    /tmp/trl/bin/pip install -c constraints.txt trl==1.16.0 peft
    python benchmarks/steps.py --trl /tmp/trl/bin/python [--tables dpo-49152 ...] [--rounds 3]

Each side trains the same random Llama (hidden size 256, 4 layers, an output head of its own) in float32 on the same
rows, with fused AdamW and gradient clipping, one thread, no gradient checkpointing, in a process of its own. Sides take
turns; figures are medians over rounds. What is measured: `step_meter.py`. Left out `--trl`, that peer is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
QUIET = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True)
class Table:
    """One comparison: ours first."""

    stage: str
    vocabulary: int
    sides: dict[str, list[str]]
    """Name -> script and what follows the folder on its command line."""

    prompt: int = 256
    completion: int = 256


def _dpo(vocabulary: int) -> Table:
    return Table(
        "dpo",
        vocabulary,
        {
            "ours": ["step_ours.py", "dpo", "full", "unshared"],
            "ours, prompt shared": ["step_ours.py", "dpo", "full", "shared"],
            "TRL 1.16": ["step_trl.py", "dpo", "full"],
        },
    )


def _lora(vocabulary: int) -> Table:
    sides = {"ours": ["step_ours.py", "dpo", "lora", "unshared"], "TRL 1.16": ["step_trl.py", "dpo", "lora"]}
    return Table("dpo", vocabulary, sides)


def _single(stage: str, vocabulary: int) -> Table:
    return Table(
        stage,
        vocabulary,
        {"ours": ["step_ours.py", stage, "full", "unshared"], "plain loop": ["step_plain.py", stage]},
    )


TABLES = {
    "dpo-49152": _dpo(49_152),
    "dpo-151936": _dpo(151_936),
    "dpo-lora-49152": _lora(49_152),
    "dpo-lora-151936": _lora(151_936),
    "sft-49152": _single("sft", 49_152),
    "sft-151936": _single("sft", 151_936),
    "pt-151936": _single("pt", 151_936),
}


def measure(python: str, script: str, folder: Path, *arguments: str) -> dict[str, float]:
    """Return the figures that a script prints last."""
    command = [python, str(HERE / script), str(folder), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, **QUIET})
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed\n{done.stderr}")
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def run(name: str, table: Table, trl: str, rounds: int) -> None:
    """Measure one table and print it."""
    sides = {side: call for side, call in table.sides.items() if trl or call[0] != "step_trl.py"}
    found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        sizes = ["--vocabulary", table.vocabulary, "--prompt", table.prompt, "--completion", table.completion]
        case = [sys.executable, str(HERE / "step_case.py"), scratch, *map(str, sizes)]
        subprocess.run(case, check=True, capture_output=True, env={**os.environ, **QUIET})
        for _ in range(rounds):
            for side, (script, *arguments) in sides.items():
                python = trl if script == "step_trl.py" else sys.executable
                found[side].append(measure(python, script, folder, *arguments))
                print(f"{name}, {side}: {found[side][-1]}", file=sys.stderr, flush=True)
    print(f"\n{name}: {table.prompt} + {table.completion} tokens")
    print(f"{'side':<22} {'CPU s/step':>10} {'x ours':>7} {'MiB':>8} {'x ours':>7}")
    medians = {
        side: [statistics.median(one[unit] for one in found[side]) for unit in ("seconds", "mib")] for side in found
    }
    ours = medians["ours"]
    for side, (seconds, mib) in medians.items():
        print(f"{side:<22} {seconds:10.2f} {seconds / ours[0]:7.2f} {mib:8.0f} {mib / ours[1]:7.2f}", flush=True)


def main() -> None:
    """Print a table for each case asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl", default="", help="python of an environment with TRL")
    parser.add_argument("--tables", nargs="*", default=list(TABLES), choices=TABLES)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    for name in arguments.tables:
        run(name, TABLES[name], arguments.trl, arguments.rounds)


if __name__ == "__main__":
    main()
