"""Metrics: finite figures by name."""

from __future__ import annotations

import math

import pytest
import torch

from swift_core.contracts.handover import RewardPart
from swift_core.contracts.metric import Predictions
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


@pytest.fixture(params=["TokenOutputs", "ClassOutputs", "StepOutputs"])
def batches(request, plugin):
    """Two batches of logits and labels, as a stage of each family that the metric reads has them."""
    if request.param not in getattr(plugin, "families", ("TokenOutputs",)):
        pytest.skip("the metric does not read this family")
    return MAKERS[request.param]()


def token_batches():
    """Return logits, [batch, time, vocabulary], and labels, of different lengths."""
    batches = [(torch.randn(3, time, 11), torch.randint(0, 11, (3, time))) for time in (6, 9)]
    for _, labels in batches:
        labels[:, :2] = -100
        labels[0, 4:] = -100
    return batches


def class_batches():
    """Return logits, [row, class], and labels."""
    return [(torch.randn(rows, 4), torch.randint(0, 4, (rows,))) for rows in (5, 3)]


def step_batches():
    """Return logits, [batch, time, 2], and labels in [0, 1] at the ends of steps."""
    batches = [(torch.randn(3, time, 2), torch.full((3, time), -100.0)) for time in (6, 9)]
    for _, labels in batches:
        labels[:, ::2] = torch.randint(0, 2, labels[:, ::2].shape).float()
    return batches


MAKERS = {"TokenOutputs": token_batches, "ClassOutputs": class_batches, "StepOutputs": step_batches}


def test_it_says_what_it_eats(spec, source, plugin):
    assert source.declared["eats"] in ("predictions", "generations")
    reducers = [name for name in ("preprocess_logits", "preprocess_outputs") if hasattr(plugin, name)]
    assert len(reducers) == (source.declared["eats"] == "predictions")


def test_its_figures_are_finite_numbers(spec, plugin, generations):
    if plugin.eats == "generations":
        figures = plugin.compute(generations)
        assert figures
        assert all(name.isidentifier() and math.isfinite(value) for name, value in figures.items())


def test_it_keeps_less_of_a_batch_than_its_logits(spec, plugin, batches):
    if hasattr(plugin, "preprocess_logits"):
        for logits, labels in batches:
            assert plugin.preprocess_logits(logits, labels).numel() <= labels.numel()


def test_its_figures_on_predictions_are_finite_numbers(spec, plugin, batches):
    if hasattr(plugin, "preprocess_logits"):
        values = [plugin.preprocess_logits(logits, labels) for logits, labels in batches]
        figures = plugin.compute(Predictions(values, [labels for _, labels in batches]))
        assert figures
        assert all(name.isidentifier() and math.isfinite(value) for name, value in figures.items())
