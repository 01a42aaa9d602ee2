"""Procedures: what a plan must know of them stands in their source, and their own loss fits them."""

from __future__ import annotations

from pathlib import Path

from swift_core.assemble.kinds import KINDS
from swift_core.contracts.procedure import ROWS
from swift_core.plugins.options import read_source
from swift_core.plugins.registry import installed

KIND = "trainer"


def test_a_plan_knows_every_kind_of_rows():
    assert set(ROWS) == set(KINDS)


def test_it_declares_what_a_plan_must_know(spec, source, target):
    for name in ("feeds", "rows", "default_loss"):
        assert source.declared[name] == getattr(target, name)
    assert source.declared["rows"] in KINDS


def test_its_own_loss_is_installed_and_eats_what_it_feeds(spec, source):
    loss = installed().resolve("loss", source.declared["default_loss"], Path())
    assert read_source(loss).inputs[0] == source.declared["feeds"]


def test_it_is_a_trainer_that_can_be_built(spec, target):
    from transformers import Trainer

    assert issubclass(target, Trainer)
    assert callable(target.build)
