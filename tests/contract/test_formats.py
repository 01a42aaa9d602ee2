"""Dataset formats: they recognise rows without failing, and refuse broken ones with ValueError only."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swift_core.plugin_api import Record
from swift_core.plugins.registry import installed

KIND = "dataset"

COLUMNS = sorted(
    {"messages", "conversations", "prompt", "completion", "chosen", "rejected", "text", "instruction", "question"}
    | {"input", "output", "answer", "history", "tools", "label", "margin", "system", "ground_truth"}
    | {"completions", "labels", "steps", "mistake_index", "problem"}
    | {"image", "images", "caption", "answers", "objects", "rejected_response"}
)
scalars = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=True) | st.text(max_size=8)
turns = st.lists(
    st.fixed_dictionaries({}, optional={"role": st.sampled_from(["user", "assistant", "x"]), "content": scalars})
    | st.fixed_dictionaries({}, optional={"from": st.sampled_from(["human", "gpt", "x"]), "value": scalars})
    | scalars,
    max_size=3,
)
objects = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(["ref", "bbox", "bytes", "path"], st.lists(scalars, max_size=2))
)
rows = st.dictionaries(st.sampled_from(COLUMNS), scalars | turns | objects, max_size=5)


def test_it_names_its_columns(spec, plugin):
    assert plugin.columns
    assert all(isinstance(column, str) for column in plugin.columns)


def test_a_row_without_columns_is_not_its_own(spec, plugin):
    assert plugin.matches({}) is False


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=rows)
def test_any_row_is_recognised_or_not_and_read_or_refused(spec, plugin, row):
    before = repr(row)
    assert plugin.matches(row) in (True, False)
    with suppress(ValueError):
        record = plugin.record(row, "rows.jsonl:3")
        assert isinstance(record, Record)
        assert record.where == "rows.jsonl:3"
    assert repr(row) == before


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=rows)
def test_no_row_is_claimed_by_two_of_ours(row):
    registry = installed()
    specs = [spec for spec in registry.specs(KIND) if spec.first_party]
    claimed = [spec.name for spec in specs if registry.load(spec)().matches(row)]
    assert len(claimed) <= 1, claimed


@pytest.mark.parametrize("kind", ["dataset", "hub"])
def test_what_a_plan_loads_does_not_import_torch(kind):
    code = (
        "import sys\n"
        "from swift_core.plugins.registry import installed\n"
        "registry = installed()\n"
        f"for spec in registry.specs({kind!r}): registry.load(spec)()\n"
        "print(sorted({'torch', 'transformers', 'peft', 'datasets'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
