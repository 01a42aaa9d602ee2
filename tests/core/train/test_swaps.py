"""Parts that are put in the place of others while a run trains, and taken back."""

from types import SimpleNamespace

import pytest
from transformers import TrainerCallback

from swift_core.assemble.rewards import adapt_reward
from swift_core.contracts.handover import RewardPart
from swift_core.contracts.reward import InferRequest
from swift_core.train import swaps
from swift_core.train.swaps import prepared_swap


class Count(TrainerCallback):
    def __init__(self, factor=1):
        self.factor, self.steps = factor, 0


class Reward:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, completions):
        return [self.factor * len(text) for text in completions]


class Metric:
    eats = "predictions"

    def __init__(self, factor):
        self.factor = factor


class Loss:
    def __init__(self, needs_reference=False):
        self.needs_reference = needs_reference

    def __call__(self, outputs):
        return outputs


@pytest.fixture
def swap(monkeypatch):
    """Return a function: kind, old part, new part -> the trainer, and what puts the new one in."""
    monkeypatch.setattr(swaps, "runs_apart", lambda plan, part: False)
    monkeypatch.setattr(swaps, "build_metric", lambda plan, part: plan.create(part))

    def swap(kind, old, new, options=None):
        before = SimpleNamespace(kind=kind, options={})
        after = SimpleNamespace(kind=kind, options=options or {})
        plan = SimpleNamespace(metrics=(before,), rewards=(before,), callbacks=(before,), create=lambda part: new)
        scored = [RewardPart("r", 1.0, adapt_reward("r", old))] if kind == "orm" else []
        parts = SimpleNamespace(plan=plan, loss=old, metrics=[("m", old)], rewards=scored, callbacks=[old])
        handler = SimpleNamespace(callbacks=["first", old, "last"])
        trainer = SimpleNamespace(parts=parts, callback_handler=handler, loss_call=None, coupling=None, _reduce=None)
        return trainer, prepared_swap(trainer, before, after)

    return swap


def test_a_callback_takes_the_place_and_the_state_of_the_old_one(swap):
    old, new = Count(), Count(factor=2)
    old.steps = 7
    trainer, put = swap("callback", old, new, {"factor": 2})
    undo = put()
    assert trainer.callback_handler.callbacks == ["first", new, "last"]
    assert trainer.parts.callbacks == [new]
    assert (new.factor, new.steps) == (2, 7)
    undo()
    assert trainer.callback_handler.callbacks == ["first", old, "last"]


def test_a_reward_keeps_its_place_and_its_count_of_failures(swap):
    trainer, put = swap("orm", Reward(1), Reward(2), {"factor": 2})
    (part,) = trainer.parts.rewards
    tally = part.score.tally
    asked = [InferRequest(messages=[], response="abc")]
    undo = put()
    assert part.score(asked, [None]) == [6.0]
    assert part.score.tally is tally
    undo()
    assert part.score(asked, [None]) == [3.0]


def test_a_metric_is_the_one_that_the_next_evaluation_asks(swap):
    old, new = Metric(1), Metric(2)
    trainer, put = swap("metric", old, new, {"factor": 2})
    undo = put()
    assert trainer.parts.metrics == [("m", new)]
    undo()
    assert trainer.parts.metrics == [("m", old)]


def test_a_loss_that_needs_what_the_run_has_not_prepared_is_refused(swap):
    with pytest.raises(ValueError, match="declares another needs_reference"):
        swap("loss", Loss(), Loss(needs_reference=True))
    trainer, put = swap("loss", old := Loss(), new := Loss())
    undo = put()
    assert trainer.parts.loss is new
    undo()
    assert trainer.parts.loss is old
