"""What was drawn so far, a line a prompt, so that a killed job goes on where it was."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Store:
    """A JSONL file whose first line says what job it is of; each other line holds the answers to one prompt."""

    def __init__(self, path: Path, job: Mapping[str, Any]) -> None:
        """Open `path` for `job`, and read what is done.

        Raises:
            SwiftError: The file is of another job: other data, model, options or rewards.
        """
        self._path = path
        self.done: dict[int, dict[str, Any]] = {}
        if path.exists() and self._read(job):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_line({"job": dict(job)}), encoding="utf-8")

    def add(self, row: int, drawn: Mapping[str, Any]) -> None:
        """Keep what was drawn for one prompt; it is on disk when this returns."""
        self.done[row] = dict(drawn)
        with self._path.open("a", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(_line({"row": row, **drawn}))
            file.flush()
            os.fsync(file.fileno())

    def remove(self) -> None:
        """Delete the file: its content is in the output now."""
        self._path.unlink(missing_ok=True)

    def _read(self, job: Mapping[str, Any]) -> bool:
        """Read whole lines; a last line that was cut by a kill is dropped. Say whether the file had any."""
        whole, _, cut = self._path.read_bytes().rpartition(b"\n")
        lines = [json.loads(line) for line in whole.splitlines()]
        if not lines:
            return False
        if lines[0].get("job") != json.loads(json.dumps(dict(job))):
            message = f"{self._path} holds answers of another job, and this one has other options, data or model."
            raise SwiftError(Problem("other-job", message, None, "delete it, or give another --output"))
        if cut:
            self._path.write_bytes(whole + b"\n")
        for line in lines[1:]:
            row = line.pop("row")
            self.done.setdefault(row, line)
        return True


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"
