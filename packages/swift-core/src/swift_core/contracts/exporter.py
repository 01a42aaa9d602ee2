"""Exporters: from a run directory to another form of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Exporter(Protocol):
    """A `swift.exporters` plugin, built from its options."""

    def export(self, run: Path, target: Path, /) -> Path:
        """Write the model of run directory `run` to `target`; return what was written, or raise ValueError."""
