"""`swift doctor sandbox`, on this machine and on one that can do less."""

import click
import pytest
from click.testing import CliRunner

from swift_core.cli.doctor import command
from swift_core.sandbox.probe import Probe, probe


@pytest.fixture
def doctor(monkeypatch):
    """Return a function that runs the command on a machine, with attacks that get out where it says."""

    def run(found, escaped, *arguments):
        monkeypatch.setattr("swift_core.sandbox.probe.probe", lambda: found)
        monkeypatch.setattr("swift_core.sandbox.escape.escapes", lambda level: dict(escaped[level]))
        result = CliRunner().invoke(command, ["sandbox", *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit | click.exceptions.Exit)
        return result

    return run


L1 = {"read a file": True, "fork": True, "read the environment": False}
HELD = dict.fromkeys(L1, False)


def test_levels_are_printed_and_nothing_gets_out(doctor):
    result = doctor(Probe("L3", {}), {"L1": L1, "L2": HELD, "L3": HELD})
    assert result.exit_code == 0
    assert "level    L3" in result.output
    assert "L1       3 attacks, 2 got out" in result.output
    assert "as expected: read a file, fork" in result.output
    assert "L3       3 attacks, 0 got out" in result.output


def test_an_attack_that_gets_out_is_named_and_the_exit_code_says_it(doctor):
    result = doctor(Probe("L2", {"L3": "namespaces of its own are not allowed here"}), {"L1": L1, "L2": L1})
    assert result.exit_code == 1
    assert "wrong    at L2 it can read a file" in result.output
    assert "L3     not here: namespaces of its own are not allowed here" in result.output


def test_a_machine_without_l2_is_told_why(doctor):
    reason = "Landlock and seccomp are of Linux, and this is Darwin"
    result = doctor(Probe("L1", {"L2": reason, "L3": reason}), {"L1": L1})
    assert result.exit_code == 1
    assert f"L2     not here: {reason}" in result.output
    assert "below L2 code of others can read your files" in result.output


def test_one_level_is_attacked_alone(doctor):
    result = doctor(Probe("L3", {}), {"L2": HELD}, "--level", "L2")
    assert result.exit_code == 0
    assert result.output.count("got out") == 1
    refused = doctor(Probe("L1", {"L2": "no", "L3": "no"}), {}, "--level", "L2")
    assert refused.exit_code == 1
    assert "attacks" not in refused.output


def test_this_machine_says_what_it_reaches():
    found = probe()
    assert found.level in ("L1", "L2", "L3")
    assert ("L2" in found.reasons) is (found.level == "L1")
