"""Metrics: finite figures by name."""

from __future__ import annotations

import math

import pytest

from swift_core.contracts.handover import RewardPart
from swift_core.plugin_api import Generations, InferRequest

KIND = "metric"


@pytest.fixture
def generations():
    turns = [{"role": "user", "content": "What is 3 plus 4?"}]
    return Generations(
        infer_requests=[InferRequest(messages=turns, response=answer) for answer in ("7", "8")],
        ground_truths=["7", "7"],
        expected=["7", "7"],
        columns={},
        rewards=[RewardPart("even", 1.0, lambda infer_requests, ground_truths: [1.0, 0.0])],
    )


def test_it_says_what_it_eats(spec, source, plugin):
    assert source.declared["eats"] in ("predictions", "generations")
    assert hasattr(plugin, "preprocess_logits") is (source.declared["eats"] == "predictions")


def test_its_figures_are_finite_numbers(spec, plugin, generations):
    if plugin.eats == "generations":
        figures = plugin.compute(generations)
        assert figures
        assert all(name.isidentifier() and math.isfinite(value) for name, value in figures.items())
