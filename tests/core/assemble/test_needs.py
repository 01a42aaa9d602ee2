"""What a built loss needs: a reference or not, and columns of the data."""

import json

import pytest

from swift_core.assemble.needs import needed_columns, needs_reference
from swift_core.config.load import load
from swift_core.errors import SwiftError
from swift_core.plugins.registry import installed
from swift_core.resolve.plan import resolve

ROW = {"prompt": "2 + 2 =", "chosen": " 4", "rejected": " 5"}


def plan_of(folder, train, rows=(ROW,), extra=""):
    (folder / "data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    (folder / "run.yaml").write_text(
        f"model: {{model_id: demo:tiny}}\ndata: {{dataset: data.jsonl}}\ntrain:\n  {train}\n{extra}", encoding="utf-8"
    )
    return resolve(load(folder / "run.yaml"), installed(), planning=True)


@pytest.mark.parametrize(
    ("train", "reads"),
    [
        ("stage: dpo", True),
        ("{stage: dpo, loss_kwargs: {reference_free: true}}", False),
        ("stage: mixture", True),
        ("{stage: mixture, loss_kwargs: {losses: [{name: simpo}, {name: chosen_nll}]}}", False),
        ("{stage: mixture, loss_kwargs: {losses: [{name: simpo}, {name: ipo}]}}", True),
        ("stage: simpo", False),
    ],
)
def test_a_reference_is_loaded_only_where_the_options_make_the_loss_read_one(tmp_path, train, reads):
    plan = plan_of(tmp_path, train)
    assert needs_reference(plan, plan.create(plan.loss)) is reads


def test_keys_about_a_reference_that_the_options_make_useless_are_refused(tmp_path):
    plan = plan_of(tmp_path, "{stage: dpo, precompute_ref_log_probs: true, loss_kwargs: {reference_free: true}}")
    with pytest.raises(SwiftError, match=r"train\.precompute_ref_log_probs would do nothing") as caught:
        needs_reference(plan, plan.create(plan.loss))
    assert caught.value.problems[0].place.line == 4


@pytest.mark.parametrize(
    ("train", "columns"),
    [
        ("stage: odpo", ("margin",)),
        ("stage: tpo", ("reference",)),
        ("{stage: tpo, loss_kwargs: {alpha: 0.0}}", ()),
        (
            "{stage: mixture, loss_kwargs: {losses: [{name: odpo}, {name: tpo_l}, {name: dpo}]}}",
            ("margin", "reference"),
        ),
        ("stage: dpo", ()),
    ],
)
def test_a_loss_says_which_columns_it_reads(tmp_path, train, columns):
    plan = plan_of(tmp_path, train)
    assert needed_columns(plan, plan.create(plan.loss)) == columns


def test_a_row_without_a_needed_column_stops_the_run_at_the_row(tmp_path):
    from swift_core.assemble.data.load import load_data

    plan = plan_of(tmp_path, "stage: odpo", [{**ROW, "margin": 1.5}, ROW, {**ROW, "margin": None}])
    with pytest.raises(
        SwiftError, match=r"The loss 'odpo' reads the column 'margin', and this row has none\."
    ) as caught:
        load_data(plan, None, ("margin",))
    assert [problem.place.line for problem in caught.value.problems] == [2, 3]
    assert "data.columns: {margin: COLUMN}" in str(caught.value)


def test_a_renamed_column_counts(tmp_path):
    from swift_core.assemble.data.read import read_data
    from swift_core.assemble.needs import require_columns

    plan = plan_of(tmp_path, "stage: odpo", [{**ROW, "gap": 2.0}])
    plan.settings.data.columns.update({"margin": "gap"})
    require_columns(read_data(plan).train, ("margin",), "odpo")
