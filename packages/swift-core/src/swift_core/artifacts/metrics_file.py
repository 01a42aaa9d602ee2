"""`metrics.jsonl`: one JSON object a line, one line a log event of the run.

Every line has `step`, `epoch` and `time` (seconds since 1970), then the logged figures by name. A figure that is no
finite number is null, and `nonfinite` says what it was: `{"loss": null, "nonfinite": {"loss": "nan"}}`.
"""

from __future__ import annotations

import json
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from swift_core.artifacts.atomic import write_text
from swift_core.artifacts.plain import is_nonfinite, scalar
from swift_core.contracts.records import LARGEST_LOG, interpreting, read_plain
from swift_core.errors import Place, Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

METRICS_FILE = "metrics.jsonl"


def metrics_line(logs: Mapping[str, Any], *, step: int, epoch: float | None, time: float) -> str:
    """Return one line of the file, without its line break."""
    figures = {name: scalar(value) for name, value in logs.items() if name not in {"step", "epoch", "time"}}
    nonfinite = {name: str(value) for name, value in figures.items() if is_nonfinite(value)}
    record: dict[str, Any] = {"step": step, "epoch": epoch, "time": time}
    record |= {name: None if name in nonfinite else value for name, value in figures.items()}
    if nonfinite:
        record["nonfinite"] = nonfinite
    return json.dumps(record, allow_nan=False, ensure_ascii=False)


def read_metrics(directory: Path) -> list[dict[str, Any]]:
    """Return the lines of the run in `directory`, oldest first; none when there is no file yet.

    A last line without a line break is a write that was cut off, and is left out.

    Raises:
        SwiftError: a line is no JSON object.
    """
    path = directory / METRICS_FILE
    if not path.exists():
        return []
    with interpreting(path):
        lines = read_plain(path, LARGEST_LOG).split("\n")[:-1]
    return [_read_line(path, number, line) for number, line in enumerate(lines, start=1)]


def forget_after(directory: Path, step: int) -> None:
    """Drop the lines of steps after `step` and of an end of training: a resumed run comes to both again."""
    before_the_end = takewhile(lambda line: "train_loss" not in line, read_metrics(directory))
    kept = [line for line in before_the_end if line["step"] <= step]
    write_text(directory / METRICS_FILE, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in kept))


def _read_line(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict) or type(record.get("step")) is not int:
        message = "This line of the run's metrics is no JSON object with a step."
        next_step = "delete the line, then run the command again"
        raise SwiftError(Problem("broken-metrics", message, Place(str(path), number, 1, line[:200]), next_step))
    return record
