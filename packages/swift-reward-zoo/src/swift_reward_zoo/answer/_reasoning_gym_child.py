"""The workers of `reasoning_gym`: the scorers of the package run there and nowhere else."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from typing import Any


def make(options: None) -> Callable[[dict[str, Any]], float]:
    """Return what scores {"task", "answer", "entry"}; the package is loaded before the first one is timed."""
    logging.disable(logging.CRITICAL)
    factory = importlib.import_module("reasoning_gym.factory")
    importlib.import_module("reasoning_gym")
    scorers: dict[str, Callable[[str, dict[str, Any]], float]] = {}

    def score(item: dict[str, Any]) -> float:
        task = item["task"]
        if task not in scorers:
            scorers[task] = factory.get_score_answer_fn(task)
        return float(scorers[task](item["answer"], item["entry"]))

    return score
