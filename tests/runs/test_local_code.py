"""Code beside the run file, and hooks from a wheel: nothing of either runs unasked."""

import json

import pytest

LOSS = '''\
"""A loss in a file."""

from dataclasses import dataclass
from pathlib import Path

Path("IT_RAN").touch()

from swift_core.plugin_api import LossOutput, TokenOutputs


@dataclass(frozen=True, kw_only=True)
class Tempered:
    """Cross entropy times a factor."""

    factor: float = 1.0
    """What the loss is multiplied by."""

    def __call__(self, tokens: TokenOutputs) -> LossOutput:
        """Return one loss per token."""
        return LossOutput(-self.factor * tokens.logps)
'''

RUN = """\
model: {model_id: "demo:tiny"}
data: {dataset: "demo:chat"}
train: {loss_type: ./plugin.py:Tempered, loss_kwargs: {factor: FACTOR}, max_steps: 1, save_strategy: "no"}
output_dir: out
"""


@pytest.fixture
def local(swift, monkeypatch):
    """Return a folder with a run file and a loss, under a user who trusts nothing yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(swift.folder / "config"))
    swift.write("plugin.py", LOSS)
    swift.write("run.yaml", RUN.replace("FACTOR", "2.0"))
    return swift


def ran(swift):
    return (swift.folder / "IT_RAN").exists()


def test_a_run_file_alone_runs_no_code(local):
    output = local("train", "run.yaml", code=2)
    assert "run.yaml:3:20" in output
    assert "swift trust" in output
    assert "--allow-code" in output
    assert not ran(local)
    assert not (local.folder / "out").exists()


def test_its_options_are_checked_without_running_it(local):
    local.write("run.yaml", RUN.replace("FACTOR", "two"))
    output = local("train", "run.yaml", "--allow-code", code=2)
    assert "run.yaml:3:64" in output
    assert "factor" in output
    assert not ran(local)


@pytest.mark.parametrize("trusted", [False, True])
def test_it_trains_once_it_is_allowed_and_is_kept_with_the_run(local, trusted):
    if trusted:
        local("trust", ".")
    local("train", "run.yaml", *([] if trusted else ["--allow-code"]))
    assert ran(local)
    (copy,) = (local.folder / "out" / "plugins").glob("plugin-*.py")
    assert copy.read_text() == LOSS
    (line,) = [
        row
        for row in map(json.loads, (local.folder / "out" / "metrics.jsonl").read_text().splitlines())
        if "loss" in row
    ]
    local.write("run.yaml", RUN.replace("FACTOR", "1.0").replace(": out", ": plain"))
    local("train", "run.yaml", "--allow-code")
    plain = json.loads((local.folder / "plain" / "metrics.jsonl").read_text().splitlines()[0])
    assert line["loss"] == pytest.approx(2 * plain["loss"], rel=1e-5)


HOOK = '''\
"""A hook that writes down what it saw."""

from pathlib import Path

from swift_core.plugin_api import Problem, hookimpl


class Witness:
    """Write events into a file."""

    @hookimpl
    def swift_validate_config(self, config):
        if config.settings.train.max_steps == 13:
            return [Problem("unlucky", "thirteen steps are unlucky.", config.place("train.max_steps"), "take twelve")]

    @hookimpl
    def swift_plan_ready(self, plan):
        self.note("plan")

    @hookimpl
    def swift_train_begin(self, parts):
        self.note("begin")

    @hookimpl
    def swift_step_end(self, step, metrics):
        self.note(f"step {step}{' logged' if 'loss' in metrics else ''}")

    @hookimpl
    def swift_evaluated(self, step):
        self.note(f"evaluated {step}")

    @hookimpl
    def swift_checkpoint_saved(self, directory):
        self.note(f"saved {directory.name}")

    @hookimpl
    def swift_train_end(self, result):
        self.note(f"end {result.num_steps}")

    def note(self, text):
        with Path("events.txt").open("a") as file:
            file.write(text + "\\n")
'''

HOOKED = """\
model: {model_id: "demo:tiny"}
data: {dataset: "demo:chat", val_dataset: "demo:chat-heldout"}
train: {max_steps: 3, logging_steps: 2, save_steps: 2}
"""


@pytest.fixture(scope="module")
def witnessed(build_wheel, fresh_environment, tmp_path_factory):
    source = tmp_path_factory.mktemp("hook")
    (source / "acme_witness.py").write_text(HOOK)
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "acme-witness"\nversion = "1.0"\n'
        '[project.entry-points."swift.hooks"]\nwitness = "acme_witness:Witness"\n'
        "[tool.hatch.build.targets.wheel]\ninclude = ['acme_witness.py']\n"
    )
    return fresh_environment(build_wheel(source))


def test_an_installed_hook_takes_no_part_until_it_is_enabled(witnessed):
    witnessed.write("plain.yaml", HOOKED + "output_dir: plain\n")
    witnessed("train", "plain.yaml")
    assert not (witnessed.folder / "events.txt").exists()


def test_an_enabled_hook_sees_the_run_in_order(witnessed):
    witnessed.write("run.yaml", HOOKED + "plugins: {enable: [witness]}\noutput_dir: out\n")
    witnessed("train", "run.yaml")
    assert (witnessed.folder / "events.txt").read_text().splitlines() == [
        "plan",
        "evaluated 0",
        "begin",
        "step 1 logged",
        "step 2 logged",
        "saved checkpoint-2",
        "step 3",
        "saved checkpoint-3",
        "evaluated 3",
        "end 3",
    ]


@pytest.mark.parametrize("command", ["train", "plan"])
def test_an_enabled_hook_may_refuse_a_run_file(witnessed, command):
    witnessed.write("bad.yaml", HOOKED.replace("3,", "13,", 1) + "plugins: {enable: [witness]}\noutput_dir: bad\n")
    output = witnessed(command, "bad.yaml", code=2)
    assert "bad.yaml:3:20: error[unlucky]: thirteen steps are unlucky." in output
