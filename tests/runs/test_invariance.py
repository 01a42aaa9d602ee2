"""No loss that a stage feeds changes with the split into micro-batches, padding, order of rows, or processes.

Where items are coupled it is over the whole step, or the loss's page says over what.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests.runs import invariance

from swift_core.plugins.options import read_source
from swift_core.plugins.registry import installed

ROOT = Path(__file__).parents[2]
EIGHT = list(range(len(invariance.LENGTHS)))
SPLITS = {
    "single rows": [[row] for row in EIGHT],
    "uneven": [EIGHT[:1], EIGHT[1:7], EIGHT[7:]],
}
CLOSE = 1e-5
"""Of the gradient's norm; a mean of micro-batches in place of a mean over items is off by more than a tenth here."""

OVER_THE_MICRO_BATCH = ("aot", "aot_unpaired")
"""Losses that couple the items of one micro-batch: sorting cannot be done by means."""

losses = pytest.mark.parametrize("name", invariance.loss_names())
per_step = pytest.mark.parametrize(
    "name", [name for name in invariance.loss_names() if name not in OVER_THE_MICRO_BATCH]
)


@pytest.fixture(scope="module")
def whole():
    """Return a function (name) -> the step of a loss in one micro-batch."""
    steps = {}

    def step(name):
        if name not in steps:
            steps[name] = invariance.step_of(name, [EIGHT])
        return steps[name]

    return step


def distance(step, other):
    """Return how far two steps are apart: the larger of the relative distances of loss and gradient."""
    losses = abs(step.loss - other.loss) / max(abs(other.loss), 0.1)
    return max(losses, ((step.gradient - other.gradient).norm() / other.gradient.norm()).item())


def test_every_family_that_a_stage_feeds_is_tried():
    fed = {read_source(spec).declared["feeds"] for spec in installed().specs("trainer") if spec.first_party}
    assert fed == set(invariance.families()), "add the family's rows to tests/runs/invariance.py"


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
@per_step
def test_the_split_into_micro_batches_changes_nothing(whole, name, split):
    assert distance(invariance.step_of(name, split), whole(name)) < CLOSE


@losses
def test_padding_changes_nothing(whole, name):
    assert distance(invariance.step_of(name, [EIGHT], widen=7), whole(name)) < CLOSE


@losses
def test_the_order_of_rows_changes_nothing(whole, name):
    assert distance(invariance.step_of(name, [[5, 2, 7, 0, 1, 6, 3, 4]]), whole(name)) < CLOSE


@pytest.mark.parametrize("name", OVER_THE_MICRO_BATCH)
def test_a_loss_that_couples_its_micro_batch_says_so(whole, name):
    assert distance(invariance.step_of(name, [EIGHT[:4], EIGHT[4:]]), whole(name)) > 1e-3
    assert invariance.new_loss(name).couples_items
    page = (ROOT / "docs" / "losses" / f"{name}.md").read_text(encoding="utf-8")
    assert "micro-batch" in page


def test_the_coupling_of_kto_and_bco_is_seen_in_these_rows(whole):
    assert whole("kto").means["kl"] > 0.1
    half = invariance.step_of("kto", [EIGHT[:4]])
    assert abs(half.means["kl"] - whole("kto").means["kl"]) > 0.1
    assert abs(whole("bco").means["reward_undesirable"]) > 0.01


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    """Return what two processes over gloo made of every loss, (loss, gradient, means) by name."""
    out = tmp_path_factory.mktemp("ranks") / "steps.pt"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run(
        [*command, ROOT / "tests" / "runs" / "invariance.py", out],
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        cwd=ROOT,
        check=True,
        timeout=240,
    )
    return {name: invariance.Step(*values) for name, values in torch.load(out).items()}


@per_step
def test_two_processes_make_the_step_of_one(whole, two_processes, name):
    assert distance(two_processes[name], whole(name)) < CLOSE
    assert two_processes[name].means == pytest.approx(whole(name).means, rel=1e-5, abs=1e-6)
