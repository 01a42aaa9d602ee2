"""`completions.jsonl`: answers that were drawn in training, a line each, with what rewards said of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from swift_core.artifacts.atomic import write_text
from swift_core.contracts.records import LARGEST_LOG, read_plain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE = "completions.jsonl"
_SHOWN = 24
"""Answers of a report, half of them of the first step that was kept and half of the last."""


def read_completions(directory: Path) -> list[dict[str, Any]]:
    """Return the lines of the run in `directory`; a last one that was cut off is left out, none without a file."""
    path = directory / FILE
    if not path.exists():
        return []
    return [json.loads(line) for line in _lines(path)]


def forget_after(directory: Path, step: int) -> None:
    """Drop the lines of steps after `step`: a resumed run takes those steps again."""
    path = directory / FILE
    if path.exists():
        kept = [line for line in _lines(path) if json.loads(line)["step"] <= step]
        write_text(path, "".join(f"{line}\n" for line in kept))


def _lines(path: Path) -> list[str]:
    return read_plain(path, LARGEST_LOG).split("\n")[:-1]


def completion_table(directory: Path) -> dict[str, Any]:
    """Return the first and the last answers as `rewards`, names in order, and `rows`; empty without answers."""
    lines = read_completions(directory)
    if not lines:
        return {}
    first = [line for line in lines if line["step"] == lines[0]["step"]]
    last = [line for line in lines if line["step"] == lines[-1]["step"]] if lines[-1]["step"] > lines[0]["step"] else []
    half = _SHOWN // 2
    shown = [*first[:half], *last[:half]]
    names = list(dict.fromkeys(name for line in shown for name in line["rewards"]))
    return {"rewards": names, "rows": [_row(line, names) for line in shown]}


def _row(line: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    return {
        "step": line["step"],
        "prompt": _talk(line["prompt"]),
        "completion": _talk(line["turns"]) if "turns" in line else line["completion"],
        "cut": not line["finished"],
        "rewards": [_said(line, name) for name in names],
        "reward": _number(line["reward"]),
        "outcome": line.get("pair") or _number(line.get("advantage")),
    }


def _said(line: Mapping[str, Any], name: str) -> str:
    value = line["rewards"].get(name)
    return line.get("unsaid", {}).get(name, "abstained") if value is None else _number(value)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"


def _talk(turns: Any) -> str:
    """Return a conversation as text, who says what; plain text as it is."""
    if isinstance(turns, str):
        return turns
    return "\n".join(f"{turn.get('role', '')}: {turn.get('content', '')}" for turn in turns)
