import json

import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.artifacts.metrics_file import forget_after, metrics_line, read_metrics
from swift_core.errors import SwiftError


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


def strictly(line):
    return json.loads(line, parse_constant=refuse)


def test_a_line_holds_step_epoch_and_time_before_the_figures():
    line = metrics_line({"loss": 0.5, "epoch": 9.0}, step=3, epoch=0.25, time=12.0)
    assert line == '{"step": 3, "epoch": 0.25, "time": 12.0, "loss": 0.5}'


@pytest.mark.parametrize(("value", "name"), [(float("nan"), "nan"), (float("inf"), "inf"), (float("-inf"), "-inf")])
def test_a_figure_that_is_no_finite_number_is_null_and_named(value, name):
    record = strictly(metrics_line({"loss": value, "grad_norm": 1.0}, step=1, epoch=None, time=0.0))
    assert record["loss"] is None
    assert record["nonfinite"] == {"loss": name}
    assert record["grad_norm"] == 1.0


@pytest.mark.parametrize("value", [torch.tensor(0.5), torch.tensor([0.5]), numpy.float32(0.5), numpy.float64(0.5)])
def test_scalars_of_torch_and_numpy_become_numbers(value):
    assert strictly(metrics_line({"loss": value}, step=1, epoch=0.0, time=0.0))["loss"] == 0.5


@given(st.dictionaries(st.text(), st.floats() | st.integers() | st.text() | st.booleans() | st.none() | st.binary()))
def test_whatever_is_logged_gives_one_line_of_strict_json(logs):
    line = metrics_line(logs, step=1, epoch=0.0, time=0.0)
    assert "\n" not in line
    assert strictly(line)["step"] == 1


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    whole = metrics_line({"loss": 1.0}, step=1, epoch=0.0, time=0.0)
    (tmp_path / "metrics.jsonl").write_text(whole + "\n" + whole[:20])
    assert [line["step"] for line in read_metrics(tmp_path)] == [1]


def test_a_broken_line_is_named_with_its_place(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\nnonsense\n{"step": 2}\n')
    with pytest.raises(SwiftError, match=r"metrics\.jsonl:2:1: error\[broken-metrics\]"):
        read_metrics(tmp_path)


def test_a_run_without_metrics_has_none(tmp_path):
    assert read_metrics(tmp_path) == []


def test_steps_that_are_made_again_are_forgotten(tmp_path):
    lines = [metrics_line({"loss": 1.0 / (step + 1)}, step=step, epoch=0.0, time=0.0) for step in range(5)]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines) + "\n" + lines[0][:9])
    forget_after(tmp_path, 2)
    assert (tmp_path / "metrics.jsonl").read_text() == "\n".join(lines[:3]) + "\n"


def test_an_end_of_training_that_a_resumed_run_takes_back_is_forgotten_with_what_was_judged_after_it(tmp_path):
    lines = [{"step": 7, "loss": 1.0}, {"step": 8, "loss": 0.5}, {"step": 8, "eval_loss": 0.7}]
    end = [{"step": 8, "train_loss": 0.8}, {"step": 8, "eval_exact_match": 0.5}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines + end))
    forget_after(tmp_path, 8)
    assert read_metrics(tmp_path) == lines
