import re

import pytest

from swift_core.builtins.callbacks.early_stopping import EarlyStopping
from swift_core.errors import SwiftError


def train(run, figures, name="eval_loss"):
    """Give the weight the number of each step; return the step it was stopped after."""
    run.tell("on_train_begin")
    for figure in figures:
        run.step(run.state.global_step + 1)
        run.evaluate(**{name: figure})
        if run.control.should_training_stop:
            break
    last = run.state.global_step
    run.tell("on_train_end")
    return last


@pytest.mark.parametrize(
    ("options", "figures", "stopped", "best"),
    [
        ({"patience": 2}, [3, 2, 2.5, 1, 1.5, 1.2, 0], 6, 4),
        ({"patience": 1}, [3, 2, 2, 1], 3, 2),
        ({"patience": 1, "min_delta": 0.5}, [3, 2, 1.5, 0], 3, 2),
        ({"patience": 3}, [3, 2, 1], 3, 3),
        ({"patience": 1}, [float("nan"), 2], 1, 1),
        ({"patience": 2}, [float("nan"), 2, 3], 3, 2),
    ],
)
def test_it_stops_when_patience_runs_out_and_puts_the_best_back(make_run, options, figures, stopped, best):
    run = make_run(EarlyStopping(**options))
    assert train(run, figures) == stopped
    assert run.weight == best


def test_larger_can_be_better(make_run):
    run = make_run(EarlyStopping(metric="token_accuracy", patience=2, greater_is_better=True))
    assert train(run, [0.1, 0.8, 0.5, 0.7, 0.9], "eval_token_accuracy") == 4
    assert run.weight == 2


def test_it_says_which_weights_are_back(make_run, capsys):
    train(make_run(EarlyStopping(patience=1)), [3, 2, 2.5])
    assert capsys.readouterr().err.splitlines() == [
        "early_stopping: eval_loss did not get better in 1 evaluations; stopping.",
        "early_stopping: the weights of step 2 are back, eval_loss 2.",
    ]


def test_it_says_when_there_was_nothing_to_put_back(make_run, capsys):
    train(make_run(EarlyStopping()), [float("nan")])
    assert capsys.readouterr().err == (
        "early_stopping: eval_loss was never a number; the weights stay those of the last step.\n"
    )


def test_evaluations_before_and_after_training_do_not_count(make_run):
    run = make_run(EarlyStopping(patience=1))
    run.evaluate(eval_loss=0.0)
    assert train(run, [3, 2]) == 2
    run.evaluate(eval_loss=2.0)
    assert run.weight == 2
    assert not run.control.should_training_stop


def test_it_goes_on_from_a_checkpoint_as_if_it_had_never_stopped(make_run):
    first = make_run(EarlyStopping(patience=2))
    first.tell("on_train_begin")
    for weight, figure in ((1, 2.0), (2, 3.0)):
        first.step(weight)
        first.evaluate(eval_loss=figure)
    first.save()
    second = make_run(EarlyStopping(patience=2))
    second.state.global_step = 2
    assert train(second, [2.5, 1.0]) == 3
    assert second.weight == 1


def test_a_figure_that_is_not_measured_is_refused_with_those_that_are(make_run):
    run = make_run(EarlyStopping(metric="acuracy"))
    with pytest.raises(SwiftError, match=r"watches eval_acuracy; an evaluation during training gives eval_loss\.\n"):
        run.evaluate(eval_loss=1.0, eval_runtime=0.1, eval_samples_per_second=3.0, epoch=1.0)


def test_a_run_without_evaluations_is_refused(make_run):
    with pytest.raises(SwiftError, match=r"watches eval_loss, and this run evaluates only before and after\.\n"):
        make_run(EarlyStopping(), eval_strategy="no").tell("on_train_begin")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience": 0}, "patience must be >= 1, got 0"),
        ({"min_delta": -1.0}, "min_delta must be >= 0, got -1.0"),
        ({"min_delta": float("nan")}, "min_delta must be >= 0, got nan"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        EarlyStopping(**options)
