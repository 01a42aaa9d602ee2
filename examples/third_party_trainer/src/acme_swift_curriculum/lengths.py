"""How long the rows of a run were: read from the metrics that it logged."""

from __future__ import annotations

import json
from pathlib import Path


def row_lengths(directory: Path) -> list[tuple[int, float]]:
    """Return (step, mean tokens of a row) for each line that `directory` logged; none of another stage's run.

    Raises:
        ValueError: It is no run directory.
    """
    file = directory / "metrics.jsonl"
    if not file.is_file():
        raise ValueError(f"{directory} has no metrics.jsonl, so it is no run directory")
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [(int(line["step"]), float(line["row_length"])) for line in lines if "row_length" in line]


def in_words(lengths: list[tuple[int, float]]) -> str:
    """Return one line for each step."""
    return "\n".join(f"step {step}: rows of {length:.1f} tokens" for step, length in lengths)
