"""What the commands that must be quick cost, in CPU time, as multiples of `python -c pass` measured in the same run.

    python benchmarks/cli_start.py [--repeats 15] [--json FILE]

Each round runs every command once, in turn, so that a busy machine slows all alike; the figure is the median of the
rounds. Plugin lists are read beside 100 and 1,000 made-up distributions, every tenth of which brings a plugin.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PASS = "python -c pass"

BUDGET = {
    "swift --help": 6.0,
    "swift --version": 6.0,
    "swift plugins list, 100 distributions": 10.0,
    "swift plugins list, 1,000 distributions": 16.0,
    "swift plan": 40.0,
}
"""Largest ratio to `python -c pass`."""

RUN_FILE = """\
model: {model_id: demo:tiny}
data: {dataset: demo:preference, val_dataset: demo:preference-heldout}
train: {stage: dpo, loss_type: dpo, loss_kwargs: {beta: 0.2}, optimizer_type: native_adamw, max_steps: 10}
"""


def main() -> int:
    """Measure, print the table, return 1 when a budget is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15, help="rounds; the median is shown")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(commands(Path(folder)), options.repeats)
    ratios = {name: seconds[name] / seconds[PASS] for name in BUDGET}
    print(table(seconds[PASS], ratios))
    if options.json:
        options.json.write_text(json.dumps({"pass_seconds": seconds[PASS], "ratios": ratios}, indent=2) + "\n")
    return int(any(ratios[name] > BUDGET[name] for name in BUDGET))


def commands(folder: Path) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Return each command with its environment, name -> (argv, environment)."""
    run_file = folder / "run.yaml"
    run_file.write_text(RUN_FILE)
    swift = [str(Path(sys.executable).with_name("swift"))]
    plain = dict(os.environ)
    few, many = (dict(plain, PYTHONPATH=str(fake_site(folder / str(count), count))) for count in (100, 1000))
    return {
        PASS: ([sys.executable, "-c", "pass"], plain),
        "swift --help": ([*swift, "--help"], plain),
        "swift --version": ([*swift, "--version"], plain),
        "swift plugins list, 100 distributions": ([*swift, "plugins", "list"], few),
        "swift plugins list, 1,000 distributions": ([*swift, "plugins", "list"], many),
        "swift plan": ([*swift, "plan", str(run_file)], plain),
    }


def fake_site(folder: Path, count: int) -> Path:
    """Fill `folder` with the metadata of `count` distributions."""
    for number in range(count):
        info = folder / f"fake_{number:04d}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fake-{number:04d}\nVersion: 1.0\n")
        group = "swift.losses" if number % 10 == 0 else "console_scripts"
        (info / "entry_points.txt").write_text(f"[{group}]\nfake_{number} = fake_{number}:Fake\n")
    return folder


def measure(named: dict[str, tuple[list[str], dict[str, str]]], repeats: int) -> dict[str, float]:
    """Return the median CPU time of each command, in seconds."""
    for argv, environment in named.values():
        cpu_seconds(argv, environment)  # fills the caches of the file system and of Python
    rounds = [{name: cpu_seconds(*command) for name, command in named.items()} for _ in range(repeats)]
    return {name: statistics.median(seen[name] for seen in rounds) for name in named}


def cpu_seconds(argv: list[str], environment: dict[str, str]) -> float:
    """Run a command to its end; return the user and system time it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(argv, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(argv)} exited with {done.returncode}:\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def table(pass_seconds: float, ratios: dict[str, float]) -> str:
    """Return the figures as lines of text."""
    lines = [f"CPU time as a multiple of `{PASS}` ({1000 * pass_seconds:.1f} ms)", ""]
    lines.append(f"{'command':42}{'ratio':>8}{'budget':>8}")
    for name, ratio in ratios.items():
        verdict = "" if ratio <= BUDGET[name] else "  over"
        lines.append(f"{name:42}{ratio:>8.1f}{BUDGET[name]:>8.0f}{verdict}")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
