from __future__ import annotations

from pathlib import Path

import pytest

from swift_core.contracts.settings import PluginSettings
from swift_core.plugins.policy import Rule, did_you_mean, satisfies
from swift_core.plugins.registry import PluginError

HERE = Path()


@pytest.fixture
def registry(install):
    install("swift-loss-zoo", {"loss": {"dpo": "zoo:DPO"}}, version="0.3.1")
    install("acme-losses", {"loss": {"focal": "acme:Focal", "old_focal": "acme:Old"}}, version="1.4.2")
    return install("beta-losses", {"loss": {"tversky": "beta:Tversky"}}, version="2.0rc1")


def refused(registry, reference):
    try:
        registry.resolve("loss", reference, HERE)
    except PluginError as error:
        return error.message.partition(": ")[2]
    return ""


@pytest.mark.parametrize(
    ("allow", "focal", "tversky"),
    [
        ([], True, True),
        (["acme-losses"], True, False),
        (["ACME_losses"], True, False),
        (["*-losses"], True, True),
        (["acme-*>=1.4,<2"], True, False),
        (["acme-losses>=2"], False, False),
        (["acme-losses ~= 1.4"], True, False),
        (["beta-losses>=2.0rc1"], False, True),
        (["swift-*"], False, False),
    ],
)
def test_allow_lets_those_in_that_it_names_and_first_party_ones_always(registry, allow, focal, tversky):
    restricted = registry.restricted(PluginSettings(allow=allow))
    assert (not refused(restricted, "focal")) is focal
    assert (not refused(restricted, "tversky")) is tversky
    assert not refused(restricted, "dpo")


@pytest.mark.parametrize(
    ("block", "blocked"),
    [
        (["acme-losses"], {"focal", "old_focal"}),
        (["acme-losses:old_focal"], {"old_focal"}),
        (["*:old_*"], {"old_focal"}),
        (["acme-losses<1"], set()),
        (["swift-loss-zoo"], {"dpo"}),
    ],
)
def test_block_keeps_out_whole_distributions_and_single_plugins(registry, block, blocked):
    restricted = registry.restricted(PluginSettings(block=block))
    names = ("dpo", "focal", "old_focal", "tversky")
    assert {name for name in names if refused(restricted, name)} == blocked


def test_block_wins_over_allow(registry):
    settings = PluginSettings(allow=["acme-losses"], block=["acme-losses:focal"])
    assert refused(registry.restricted(settings), "focal") == "plugins.block has 'acme-losses:focal'"


def test_restrictions_hold_for_qualified_names_too(registry):
    restricted = registry.restricted(PluginSettings(allow=["beta-losses"]))
    assert refused(restricted, "acme-losses:focal") == "plugins.allow does not have acme-losses 1.4.2"


def test_restricting_imports_nothing_and_leaves_the_first_registry_as_it_was(registry):
    registry.restricted(PluginSettings(block=["acme-losses"]))
    assert not refused(registry, "focal")


def test_every_problem_of_the_section_is_reported_at_once(registry):
    settings = PluginSettings(
        allow=["acme losses and others"],
        block=["acme-losses>=banana"],
        require=["acme-losses>=9", "acme-loses", "beta-losses"],
        prefer={"los": {}, "loss": {"focal": "beta-losses", "nothing": "acme-losses"}},
    )
    with pytest.raises(PluginError) as caught:
        registry.restricted(settings)
    assert [(problem.code, problem.message) for problem in caught.value.problems] == [
        (
            "malformed-rule",
            "plugins.allow has 'acme losses and others', which is not a distribution with or without versions",
        ),
        (
            "malformed-rule",
            "plugins.block has 'acme-losses>=banana', which is not a distribution with or without versions",
        ),
        ("required-plugin", "plugins.require asks for 'acme-losses>=9', and acme-losses 1.4.2 is installed"),
        (
            "required-plugin",
            "plugins.require asks for 'acme-loses', which is not installed. Did you mean 'acme-losses'?",
        ),
        ("unknown-kind", "plugins.prefer has 'los', which is no kind of plugin"),
        (
            "unknown-preference",
            "plugins.prefer takes the loss 'focal' from 'beta-losses', which has none; it comes from acme-losses",
        ),
        (
            "unknown-preference",
            "plugins.prefer takes the loss 'nothing' from 'acme-losses', which has none; nothing installed has it",
        ),
    ]


def test_a_requirement_that_is_met_is_silent(registry):
    registry.restricted(PluginSettings(require=["acme-losses>=1.4,<2", "beta-losses", "swift-loss-zoo==0.3.1"]))


@pytest.mark.parametrize("text", ["", ">=1", "acme-losses>=", "acme:>=1", "a/b", "acme-losses=1", "acme-losses==1;x"])
def test_a_malformed_rule_is_an_error(text):
    with pytest.raises(PluginError, match="which is not a distribution with or without versions"):
        Rule.parse(text, "plugins.allow")


@pytest.mark.parametrize(
    ("version", "specifier", "holds"),
    [("1.4.2", ">=1.4,<2", True), ("2.0rc1", ">=1", True), ("2.0", "<2", False), ("not a version", ">=0", False)],
)
def test_versions_compare_by_their_parts_and_pre_releases_count(version, specifier, holds):
    assert satisfies(version, specifier) is holds


def test_nothing_is_suggested_for_a_word_that_is_near_nothing():
    assert did_you_mean("zzz", ["dpo", "orpo"]) == ""
    assert did_you_mean("dp0", ["dpo", "orpo"]) == " Did you mean 'dpo'?"
