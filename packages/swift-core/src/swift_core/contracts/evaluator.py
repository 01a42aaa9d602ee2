"""Evaluators: what judges a trained model on a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol


class Evaluator(Protocol):
    """A `swift.evaluators` plugin, built from its options."""

    def evaluate(self, run: Path, /) -> Mapping[str, float]:
        """Return the figures of the model in run directory `run`, by name."""
