"""`swift plugins`, `doctor` and `trust`, as a user types them: in another process, with distributions installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from swift_core.testing.fake_dist import fake_dist


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


@pytest.fixture
def swift(site, tmp_path):
    """Run `swift ARGUMENTS` beside what is installed in `site`; return the finished process."""

    def swift(*arguments, program="from swift_core.cli.main import main; main()", **variables):
        environment = {name: value for name, value in os.environ.items() if name != "SWIFT_PLUGINS"}
        environment |= {"PYTHONPATH": str(site), "XDG_CONFIG_HOME": str(tmp_path / "config"), "COLUMNS": "120"}
        command = [sys.executable, "-c", program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment | variables)

    return swift


BROKEN = {
    "import_error.py": "import no_such_module_anywhere",
    "syntax_error.py": "def f(:",
    "exits.py": "raise SystemExit(7)",
    "dies.py": "import os; os.kill(os.getpid(), 9)",
    "prints.py": "print('\"hello\"')\nclass Plugin: ...",
    "wrong_type.py": "Plugin = 3",
    "null.py": "x = 1\0",
}


@pytest.fixture
def broken(site):
    """Install plugins that are broken in every way there is, and one that is sound."""
    names = {path.removesuffix(".py"): f"{path.removesuffix('.py')}:Plugin" for path in BROKEN}
    fake_dist(site, "broken-losses", "0.1", {"swift.losses": names | {"gone": "gone.away:Plugin"}}, BROKEN)
    fake_dist(site, "broken-metadata", "0.1", {})
    (site / "broken_metadata-0.1.dist-info" / "entry_points.txt").write_bytes(b"[swift.losses]\nx = \xff:y\n")
    fake_dist(site, "broken-names", "0.1", {"swift.losses": {"Bad-Name": "a:b", "no_target": "nothing"}})
    (site / "half_gone-1.0.dist-info").mkdir()
    fake_dist(site, "old-plugin", "0.1", {"swift.orms": {"old": "prints:Plugin"}}, requires=["swift-core>=99"])
    fake_dist(site, "broken-command", "0.1", {"swift.commands": {"fly": "import_error:command"}})


def test_list_shows_every_plugin_with_its_wheel_and_standing(swift, site):
    fake_dist(site, "acme-losses", "1.4", {"swift.losses": {"tversky": "acme:Focal", "dpo": "acme:DPO"}})
    fake_dist(site, "beta-losses", "2.0", {"swift.losses": {"tversky": "beta:Focal"}})
    result = swift("plugins", "list", "--kind", "losses")
    assert (result.returncode, result.stderr) == (0, "")
    rows = {tuple(line.split()[:4]): " ".join(line.split()[4:]) for line in result.stdout.splitlines()}
    assert rows["loss", "tversky", "acme-losses", "1.4"] == "ambiguous with beta-losses:tversky"
    assert rows["loss", "tversky", "beta-losses", "2.0"] == "ambiguous with acme-losses:tversky"
    assert rows["loss", "dpo", "acme-losses", "1.4"] == "only as acme-losses:dpo: the bare name is swift-loss-zoo's"
    assert "optimizer" not in result.stdout


def test_list_as_json_says_the_same(swift, site):
    fake_dist(site, "acme-losses", "1.4", {"swift.losses": {"tversky": "acme:Focal"}})
    plugins = json.loads(swift("plugins", "list", "--json", "--kind", "loss").stdout)
    assert [plugin for plugin in plugins if plugin["wheel"] == "acme-losses"] == [
        {
            "kind": "loss",
            "name": "tversky",
            "wheel": "acme-losses",
            "version": "1.4",
            "target": "acme:Focal",
            "origin": "wheel",
            "first_party": False,
            "status": "ok",
        }
    ]


def test_list_of_a_kind_that_nothing_has_says_so(swift):
    assert swift("plugins", "list", "--kind", "evaluator").stdout == "no evaluator plugin is installed\n"


def test_list_shows_what_the_environment_variable_keeps_out(swift, site):
    fake_dist(site, "acme-losses", "1.4", {"swift.losses": {"tversky": "acme:Focal"}})
    result = swift("plugins", "list", SWIFT_PLUGINS="")
    assert "blocked: SWIFT_PLUGINS does not name acme-losses" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["--help"],
        ["plugins", "list"],
        ["plugins", "list", "--json"],
        ["plugins", "info", "loss/dpo"],
        *(["plugins", "info", f"loss/{path.removesuffix('.py')}"] for path in BROKEN),
        ["plugins", "info", "loss/gone", "--json"],
        ["doctor"],
        ["trust", "."],
        ["trust"],
    ],
    ids=" ".join,
)
def test_repair_commands_work_with_every_plugin_broken(swift, broken, arguments):
    result = swift(*arguments)
    assert result.returncode == (1 if arguments == ["doctor"] else 0), result.stderr
    assert "Traceback" not in result.stderr + result.stdout
    assert result.stdout


def test_repair_commands_import_neither_plugins_nor_slow_libraries(swift, broken):
    program = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('LOADED', *sys.modules))\n"
        "from swift_core.cli.main import main\nmain()"
    )
    slow = {"torch", "transformers", "peft", "datasets", "numpy", "rich", "pydantic"}
    plugins = {path.removesuffix(".py") for path in BROKEN} | {"swift_loss_zoo", "swift_native"}
    for arguments in (["plugins", "list"], ["plugins", "info", "loss/prints"], ["doctor"], ["--help"], ["trust"]):
        loaded = set(swift(*arguments, program=program).stdout.partition("LOADED")[2].split())
        assert "swift_core" in loaded
        assert loaded.isdisjoint(slow | plugins), arguments


def test_verify_says_which_plugins_fail_and_why(swift, broken):
    result = swift("plugins", "list", "--kind", "loss", "--verify", "--json")
    assert result.returncode == 1
    failures = {p["name"]: p["failure"] for p in json.loads(result.stdout) if p["wheel"] == "broken-losses"}
    assert failures.pop("prints") == ""
    assert failures.pop("dies") == "importing it ended the process with signal 9."
    described = "the loss {0!r} of broken-losses 0.1 ({0}:Plugin) "
    assert failures.pop("wrong_type") == described.format("wrong_type") + "is int, not a class or function."
    causes = {
        "import_error": "ModuleNotFoundError: No module named 'no_such_module_anywhere'",
        "syntax_error": "SyntaxError: ",
        "exits": "SystemExit: 7",
        "null": "",  # a SyntaxError or a ValueError, by the version of Python
    }
    for name, cause in causes.items():
        assert failures.pop(name).startswith(described.format(name) + "cannot be imported: " + cause)
    assert failures == {
        "gone": "the loss 'gone' of broken-losses 0.1 (gone.away:Plugin) cannot be imported: "
        "ModuleNotFoundError: No module named 'gone'"
    }


def test_verify_of_sound_plugins_is_silent_success(swift, site):
    fake_dist(site, "acme-hooks", "1.0", {"swift.engines": {"quick": "acme:Quick"}}, {"acme.py": "class Quick: ..."})
    result = swift("plugins", "list", "--kind", "engine", "--verify")
    assert result.returncode == 0
    assert "loads" in result.stdout


def test_doctor_names_everything_that_is_odd(swift, broken):
    result = swift("doctor", SWIFT_PLUGINS="nobody")
    wrong = [line for line in result.stdout.splitlines() if line.startswith("wrong")]
    codes = {line.rpartition("[")[2].rstrip("]") for line in wrong if line.endswith("]")}
    expected = {"invalid-name", "invalid-target", "unreadable-entry-points", "stale-distribution", "broken-plugin"}
    assert expected | {"incompatible-plugin"} <= codes
    assert any("SWIFT_PLUGINS names 'nobody'" in line for line in wrong)
    assert "torch" in result.stdout


def test_doctor_reports_a_distribution_that_is_installed_twice(swift, site):
    fake_dist(site, "swift-loss-zoo", "99.0", {})
    result = swift("doctor")
    assert "swift-loss-zoo: 99.0 in " in result.stdout
    assert "[duplicate-distribution]" in result.stdout
    assert result.returncode == 1


def test_doctor_works_with_a_broken_list_of_trusted_folders(swift, tmp_path):
    (tmp_path / "config" / "swift").mkdir(parents=True)
    (tmp_path / "config" / "swift" / "trusted.json").write_text("{", encoding="utf-8")
    result = swift("doctor")
    assert "cannot be read" in result.stdout
    assert result.stderr == ""


def test_info_shows_options_with_types_defaults_and_help(swift, site):
    source = '''
from dataclasses import dataclass

@dataclass(kw_only=True)
class Focal:
    """Focal loss."""

    gamma: float = 2.0
    """How hard examples count, >= 0."""

    alpha: float | None = None
    rank: int

    def __call__(self, outputs: "TokenOutputs"): ...
'''
    fake_dist(site, "acme-losses", "1.4", {"swift.losses": {"tversky": "acme:Focal"}}, {"acme.py": source})
    result = swift("plugins", "info", "tversky")
    assert result.stdout.splitlines() == [
        "loss tversky: Focal loss.",
        "  from       acme-losses 1.4 (wheel)",
        f"  code       {site / 'acme.py'}:5",
        "  chosen by  train.loss_type, train.loss_kwargs",
        "  contract   swift_core.plugin_api.Loss",
        "  status     ok",
        "  takes      TokenOutputs",
        "  options",
        "    gamma: float = 2.0",
        "        How hard examples count, >= 0.",
        "    alpha: float | None = None",
        "    rank: int  (required)",
    ]
    (data,) = json.loads(swift("plugins", "info", "loss/acme-losses:tversky", "--json").stdout)
    assert data["takes"] == ["TokenOutputs"]
    assert [(o["name"], o["required"], o["default"]) for o in data["options"]] == [
        ("gamma", False, 2.0),
        ("alpha", False, None),
        ("rank", True, None),
    ]


def test_info_shows_all_claimants_of_a_name(swift, site):
    fake_dist(site, "acme-losses", "1.4", {"swift.losses": {"tversky": "acme:Focal"}}, {"acme.py": "class Focal: ..."})
    fake_dist(site, "beta-losses", "2.0", {"swift.losses": {"tversky": "beta:Focal"}}, {"beta.py": "class Focal: ..."})
    result = swift("plugins", "info", "loss/tversky")
    assert [line for line in result.stdout.splitlines() if "from " in line] == [
        "  from       acme-losses 1.4 (wheel)",
        "  from       beta-losses 2.0 (wheel)",
    ]


def test_info_reads_a_file_without_running_it(swift, tmp_path):
    source = "raise SystemExit('ran')\nclass Focal:\n    def __init__(self, *, gamma: float = 2.0): ...\n"
    (tmp_path / "my_loss.py").write_text(source, encoding="utf-8")
    result = swift("plugins", "info", "loss/./my_loss.py:Focal")
    assert (result.returncode, result.stderr) == (0, "")
    assert "    gamma: float = 2.0" in result.stdout


@pytest.mark.parametrize(
    ("reference", "message", "next_step"),
    [
        ("loss/dpoo", "no loss named 'dpoo'. Did you mean 'dpo'?", "swift plugins list --kind loss"),
        ("los/dpo", "there is no kind of plugin called 'los'. Did you mean 'loss'?", "the kinds are loss, "),
        ("galore_adam", "no plugin is named 'galore_adam'. Did you mean 'galore_adamw'?", "swift plugins list"),
        ("dpo", "'dpo' is the name of 2 plugins: loss and trainer.", "swift plugins info loss/dpo or trainer/dpo"),
        ("./f.py:X", "'./f.py:X' does not say of which kind it is.", "swift plugins info loss/./f.py:X"),
    ],
)
def test_info_of_what_is_not_there_says_what_may_be_meant(swift, reference, message, next_step):
    result = swift("plugins", "info", reference)
    assert result.returncode == 2
    first, second = result.stderr.splitlines()
    assert first.endswith(f": {message}")
    assert second.startswith(f"  next: {next_step}")


def test_trust_lists_adds_and_forgets_folders(swift, tmp_path):
    assert swift("trust").stdout == "no folder is trusted\n"
    assert swift("trust", ".").stdout == f"trusted: {tmp_path}\n"
    assert swift("trust").stdout == f"{tmp_path}\n"
    assert swift("trust", "--forget", ".").stdout == f"forgotten: {tmp_path}\n"
    result = swift("trust", "nowhere")
    assert (result.returncode, result.stderr.splitlines()[0]) == (2, "error[not-a-folder]: nowhere is not a folder.")
