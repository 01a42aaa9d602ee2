"""Callbacks: what transformers' Trainer calls, built afresh for each run."""

from __future__ import annotations

from transformers import TrainerCallback

from swift_core.plugins.options import build

KIND = "callback"


def test_it_is_a_trainer_callback(spec, plugin):
    assert isinstance(plugin, TrainerCallback)


def test_it_answers_at_least_one_event_of_trainer(spec, target):
    events = {name for name in vars(TrainerCallback) if name.startswith("on_")}
    assert events & set(vars(target))
    assert {name for name in vars(target) if name.startswith("on_")} <= events


def test_two_runs_share_nothing(spec, target):
    first, second = build(target, {}), build(target, {})
    mutable = (list, dict, set)
    shared = [name for name, value in vars(first).items() if isinstance(value, mutable) and vars(second)[name] is value]
    assert shared == []
