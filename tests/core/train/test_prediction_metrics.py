"""What an evaluation keeps of each batch, and what is told of a metric that breaks."""

import weakref
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

from swift_core.builtins.metrics.acc import Accuracy
from swift_core.builtins.metrics.perplexity import Perplexity
from swift_core.contracts.plugin import PluginSource, PluginSpec
from swift_core.errors import SwiftError
from swift_core.train.evaluate import PredictionMetrics

LABELS = torch.randint(0, 50, (2, 6))


class Outputs:
    """Lazy outputs that count who still holds their logits."""

    alive: ClassVar[list] = []

    @property
    def logits(self):
        if not hasattr(self, "_logits"):
            self._logits = torch.randn(2, 6, 50)
            Outputs.alive.append(weakref.ref(self._logits.untyped_storage()))
        return self._logits


class Viewer:
    """A metric whose result is a view of the logits."""

    eats = "predictions"

    def preprocess_logits(self, logits, labels):
        return logits[..., :1]

    def compute(self, evaluation):
        return {"seen": float(sum(value.numel() for value in evaluation.values))}


def parts_of(*metrics):
    part = SimpleNamespace(
        kind="metric",
        key="train.metrics.0",
        plugin=PluginSpec("metric", "tried", "acme:tried", "acme", "1", "wheel"),
        source=PluginSource("A metric.", (), "acme.py", 1),
    )
    plan = SimpleNamespace(metrics=[part], config=SimpleNamespace(place=lambda key: None))
    return SimpleNamespace(metrics=[("tried", metric) for metric in metrics], plan=plan)


def test_no_logits_outlive_their_batch():
    Outputs.alive = []
    kept = PredictionMetrics(parts_of(Accuracy(), Perplexity(), Viewer()))
    for _ in range(4):
        outputs = Outputs()
        kept.add(outputs, {"labels": LABELS})
        del outputs
        assert [held() for held in Outputs.alive if held() is not None] == []
    assert len(Outputs.alive) == 4
    assert kept.compute()["seen"] == 4 * 12


def test_without_a_metric_that_reads_them_no_logits_are_formed():
    Outputs.alive = []

    class OfOutputs:
        eats = "predictions"

        def preprocess_outputs(self, outputs):
            return torch.ones(2)

    for metrics in ((), (OfOutputs(),)):
        PredictionMetrics(parts_of(*metrics)).add(Outputs(), {"labels": LABELS})
    assert Outputs.alive == []


class Broken:
    eats = "predictions"

    def __init__(self, preprocess, compute=lambda evaluation: {"x": 1.0}):
        self.preprocess_logits, self.compute = preprocess, compute


def raising(error):
    def work(*_):
        raise error

    return work


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (Broken(raising(IndexError("no"))), r"metric 'tried' of acme 1 raised IndexError: no \(.*test_prediction_met"),
        (
            Broken(lambda logits, labels: 3),
            r"preprocess_logits of metric 'tried' of acme 1 must return a tensor, got int",
        ),
        (Broken(lambda logits, labels: logits * 2), r"of acme 1 kept all 600 logits of a batch: it must reduce them"),
        (Broken(lambda x, y: y, lambda _: 0.5), r"metric 'tried' of acme 1 must return numbers by name, got 0.5"),
        (Broken(lambda x, y: y, lambda _: {"x": "a"}), r"must return numbers by name, got \{'x': 'a'\}"),
        (Broken(lambda x, y: y, raising(KeyError("k"))), r"metric 'tried' of acme 1 raised KeyError: 'k'"),
        (Broken(lambda x, y: y, raising(ValueError("few rows"))), r"metric 'tried' of acme 1: few rows\."),
    ],
)
def test_a_broken_metric_is_named_with_its_wheel(metric, message):
    with pytest.raises(SwiftError, match=message):
        judged(metric)


def judged(metric):
    kept = PredictionMetrics(parts_of(metric))
    kept.add(Outputs(), {"labels": LABELS})
    return kept.compute()
