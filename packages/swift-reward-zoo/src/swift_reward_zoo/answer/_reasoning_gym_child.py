"""The workers of `reasoning_gym`: the scorers of the package run there and nowhere else."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock

_PLOTS = (
    *("matplotlib", "matplotlib.pyplot", "matplotlib.animation", "matplotlib.collections"),
    *("mpl_toolkits", "mpl_toolkits.mplot3d"),
)
"""Imported by what the package imports, for plots; it wants a folder to write to, and there is none here."""


def make(options: None) -> Callable[[dict[str, Any]], float]:
    """Return what scores {"task", "answer", "entry"}; the package is loaded before the first one is timed."""
    logging.disable(logging.CRITICAL)
    sys.modules.update({name: MagicMock() for name in _PLOTS})
    factory = importlib.import_module("reasoning_gym.factory")
    importlib.import_module("reasoning_gym")
    scorers: dict[str, Callable[[str, dict[str, Any]], float]] = {}

    def score(item: dict[str, Any]) -> float:
        task = item["task"]
        if task not in scorers:
            scorers[task] = factory.get_score_answer_fn(task)
        return float(scorers[task](item["answer"], item["entry"]))

    return score
