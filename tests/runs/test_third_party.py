"""A stranger's wheel: installed beside ours, it trains by name without a line changed in ours."""

import json
import shutil
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "third_party_plugin"


@pytest.fixture(scope="module")
def stranger(build_wheel, fresh_environment, tmp_path_factory):
    source = tmp_path_factory.mktemp("source") / "plugin"
    shutil.copytree(EXAMPLE, source)
    environment = fresh_environment(build_wheel(source))
    shutil.copy(EXAMPLE / "run.yaml", environment.folder)
    return environment


def test_its_parts_are_listed_by_name(stranger):
    listed = json.loads(stranger("plugins", "list", "--json"))
    kinds = {row["kind"] for row in listed if row["wheel"] == "acme-swift-focal"}
    assert kinds == {"loss", "orm", "callback"}


def test_it_trains_by_name(stranger):
    output = stranger("train", "run.yaml", "train.max_steps=3", "output_dir=out")
    plan = json.loads((stranger.folder / "out" / "plan.json").read_text())
    strangers = {part["kind"] for part in plan["parts"] if part["wheel"] == "acme-swift-focal"}
    assert strangers == {"loss", "orm", "callback"}
    assert "step 3/3" in output
    assert (stranger.folder / "out" / "report.html").exists()


def test_without_the_wheel_the_run_is_refused_at_its_lines(swift):
    shutil.copy(EXAMPLE / "run.yaml", swift.folder)
    output = swift("train", "run.yaml", "output_dir=out", code=2)
    assert "run.yaml:" in output
    assert "Traceback" not in output
    assert not (swift.folder / "out").exists()


def loss_wheel(folder, name, version="1.0"):
    """Write the source of a wheel with a loss called `tilted`; return its folder."""
    package = name.replace("-", "_")
    source = folder / name
    (source / package).mkdir(parents=True)
    (source / package / "__init__.py").write_text(
        '"""A loss."""\n\n\n'
        "def tilted(outputs):\n"
        f'    """Return cross entropy, from {name}."""\n'
        "    return -outputs.logps.mean()\n"
    )
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        f'[project]\nname = "{name}"\nversion = "{version}"\ndependencies = ["swift-core>=0.1,<1"]\n'
        f'[project.entry-points."swift.losses"]\ntilted = "{package}:tilted"\n'
    )
    return source


RUN = """\
model: {model_id: "demo:tiny"}
data: {dataset: "demo:chat"}
train: {loss_type: LOSS, max_steps: 1, save_strategy: "no"}
output_dir: out
"""


@pytest.fixture(scope="module")
def two_claimants(build_wheel, fresh_environment, tmp_path_factory):
    folder = tmp_path_factory.mktemp("claimants")
    wheels = [build_wheel(loss_wheel(folder, name)) for name in ("acme-losses", "zenith-losses")]
    return fresh_environment(*wheels)


def test_a_name_that_two_wheels_claim_is_refused_when_it_is_used(two_claimants):
    two_claimants.write("run.yaml", RUN.replace("LOSS", "tilted"))
    output = two_claimants("train", "run.yaml", code=2)
    assert "run.yaml:3:20: error[ambiguous-plugin]" in output
    assert "claimed by acme-losses and by zenith-losses" in output
    assert "write acme-losses:tilted, or plugins.prefer: {loss: {tilted: acme-losses}}" in output


@pytest.mark.parametrize(
    ("loss", "more"),
    [("acme-losses:tilted", ""), ("tilted", "plugins: {prefer: {loss: {tilted: acme-losses}}}\n")],
)
def test_both_ways_out_of_it_train(two_claimants, loss, more):
    out = f"out{len(more)}"
    two_claimants.write("both.yaml", RUN.replace("LOSS", f'"{loss}"').replace(": out", f": {out}") + more)
    two_claimants("train", "both.yaml")
    plan = json.loads((two_claimants.folder / out / "plan.json").read_text())
    (part,) = (part for part in plan["parts"] if part["kind"] == "loss")
    assert part["wheel"] == "acme-losses"


def test_an_unused_clash_disturbs_nobody(two_claimants):
    two_claimants.write("plain.yaml", RUN.replace("LOSS", "cross_entropy"))
    two_claimants("plan", "plain.yaml")
