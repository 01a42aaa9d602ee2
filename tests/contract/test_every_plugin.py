"""What holds for a plugin of any kind."""

from __future__ import annotations

import ast
import inspect
import re

import pytest

from swift_core.plugins.kinds import KINDS
from swift_core.plugins.registry import installed

TESTED_KINDS = {
    "agent_template",
    "callback",
    "dataset",
    "engine",
    "exporter",
    "hub",
    "loss",
    "loss_scale",
    "metric",
    "multi_turn",
    "optimizer",
    "orm",
    "pool",
    "prm",
    "scheduler",
    "trainer",
    "tuner",
}
"""Kinds that have a file of their own beside this one."""


def live_options(target: object, context: tuple[str, ...]) -> dict[str, inspect.Parameter]:
    """Return the keyword-only parameters of the real object, without those that core fills in."""
    parameters = inspect.signature(target).parameters.values()
    keyword_only = {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY and not p.name.startswith("_")}
    return keyword_only if inspect.isclass(target) else {n: p for n, p in keyword_only.items() if n not in context}


def test_every_kind_of_ours_has_a_contract_test():
    assert {spec.kind for spec in installed().specs() if spec.first_party} == TESTED_KINDS


def test_five_wheels_take_part():
    assert {spec.distribution for spec in installed().specs() if spec.first_party} == {
        "swift-core",
        "swift-loss-zoo",
        "swift-optim-zoo",
        "swift-reward-zoo",
        "swift-native",
    }


def test_the_name_is_well_formed(spec):
    assert re.fullmatch(r"[a-z][a-z0-9_]*", spec.name)


def test_it_loads(spec, target):
    assert target is not None


def test_what_it_does_is_said_in_one_line(source):
    assert source.readable
    assert 10 <= len(source.summary) <= 120
    assert source.summary.isprintable()


def test_options_read_from_source_are_those_of_the_real_object(spec, source, target):
    live = live_options(target, KINDS[spec.kind].context)
    assert {option.name: option.required for option in source.options} == {
        name: parameter.default is parameter.empty for name, parameter in live.items()
    }


def test_defaults_read_from_source_are_those_of_the_real_object(spec, source, target):
    live = live_options(target, KINDS[spec.kind].context)
    for option in source.options:
        default = live[option.name].default
        if option.default is not None and type(default).__name__ != "_HAS_DEFAULT_FACTORY_CLASS":
            assert option.default == (list(default) if isinstance(default, tuple) else default), option.name


def test_every_option_has_a_type_and_help(source):
    assert [option.name for option in source.options if not option.annotation] == []
    assert [option.name for option in source.options if len(option.help) < 10] == []


def test_it_takes_no_options_it_does_not_name(target):
    kinds = [parameter.kind for parameter in inspect.signature(target).parameters.values()]
    assert inspect.Parameter.VAR_KEYWORD not in kinds


def test_its_module_prints_nothing_and_changes_nothing_when_imported(spec, source):
    if source.file.endswith(".py"):
        with open(source.file, encoding="utf-8") as file:
            tree = ast.parse(file.read())
        calls = [node for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
        assert [ast.unparse(node) for node in calls] == []


@pytest.mark.parametrize("option", ["no_such_option"])
def test_an_unknown_option_is_refused(spec, target, option):
    from swift_core.errors import SwiftError
    from swift_core.plugins.options import prepared

    with pytest.raises(SwiftError, match=option):
        prepared(target, {option: 1})
