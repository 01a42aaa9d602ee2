"""Losses inside the options of another loss, and names of losses from other programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from swift_core.contracts.handover import RunPlan
from swift_core.errors import Problem
from swift_core.plugins.registry import installed
from swift_core.resolve.aliases import LOSS_ALIASES

PlanOf = Callable[..., RunPlan]
ProblemsOf = Callable[..., list[Problem]]

PAIRS = "model: {model_id: demo:tiny}\ndata: {dataset: demo:preference}\n"
CHAT = "model: {model_id: demo:tiny}\ndata: {dataset: demo:chat}\n"


def mixture(*terms: str) -> str:
    lines = "".join(f"      - {term}\n" for term in terms)
    return f"{PAIRS}train:\n  stage: mixture\n  loss_kwargs:\n    losses:\n{lines}"


def test_named_losses_are_built_with_their_options(plan_of: PlanOf) -> None:
    plan = plan_of(mixture("{name: dpo, weight: 0.5, kwargs: {beta: 0.3}}", "{name: sft}"))

    loss: Any = plan.create(plan.loss)

    assert [(term.name, term.weight) for term in loss.losses] == [("dpo", 0.5), ("sft", 1.0)]
    assert [type(live).__name__ for live in loss._live] == ["DPO", "ChosenNLL"]
    assert loss._live[0].beta == 0.3
    assert "train.loss_kwargs.losses.1.name: sft means chosen_nll" in plan.notes


def test_everything_wrong_in_terms_is_told_with_its_place(problems_of: ProblemsOf) -> None:
    problems = problems_of(
        mixture("{name: dpoo}", "{name: dpo, kwargs: {bta: 0.3}}", "{name: focal}", "{name: dpo, weight: -1}")
    )

    told = [(problem.code, problem.place.line if problem.place else 0, problem.message) for problem in problems]
    assert [(code, line) for code, line, _ in told] == [
        ("unknown-plugin", 7),
        ("unknown-option", 8),
        ("stage-mismatch", 9),
        ("wrong-option", 10),
    ]
    assert "Did you mean 'dpo'?" in told[0][2] or "Did you mean 'dpop'?" in told[0][2]
    assert "there is no option 'bta'" in told[1][2]
    assert told[2][2] == ("the loss 'focal' reads TokenOutputs, and 'mixture' adds up losses that read PairOutputs")
    assert "weight must be >= 0, got -1" in told[3][2]


def test_terms_that_are_no_mapping_are_a_wrong_option(problems_of: ProblemsOf) -> None:
    (problem,) = problems_of(mixture("dpo"))

    assert problem.code == "wrong-option"
    assert "must be a mapping" in problem.message


@pytest.mark.parametrize("name", sorted(set(LOSS_ALIASES) - {"nll", "chunked_nll", "reinforce++"}))
def test_a_pair_loss_from_elsewhere_is_found_and_its_name_here_is_noted(plan_of: PlanOf, name: str) -> None:
    plan = plan_of(PAIRS + f"train: {{stage: dpo, loss_type: {name}}}\n")

    assert plan.loss.plugin.name == LOSS_ALIASES[name]
    assert f"train.loss_type: {name} means {LOSS_ALIASES[name]}" in plan.notes


def test_a_token_loss_from_elsewhere_is_found(plan_of: PlanOf) -> None:
    assert plan_of(CHAT + "train: {stage: sft, loss_type: nll}\n").loss.plugin.name == "cross_entropy"


def test_a_name_from_elsewhere_may_stand_as_the_stage(plan_of: PlanOf) -> None:
    plan = plan_of(PAIRS + "train: {stage: exo_pair, loss_type: exo_pair}\n")

    assert (plan.procedure.plugin.name, plan.loss.plugin.name) == ("dpo", "exo")
    assert "train.stage: exo_pair means exo" in plan.notes


def test_every_alias_is_no_name_here_and_means_one_that_is() -> None:
    names = {spec.name for spec in installed().specs("loss")}

    assert not names.intersection(LOSS_ALIASES)
    assert names.issuperset(LOSS_ALIASES.values())
