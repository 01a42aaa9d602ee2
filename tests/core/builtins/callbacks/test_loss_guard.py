import re

import pytest

from swift_core.builtins.callbacks.loss_guard import LossGuard
from swift_core.errors import SwiftError


def log(run, losses):
    """Log losses at steps 1, 2, ...; return the step the run was stopped at, or 0."""
    for loss in losses:
        run.state.global_step += 1
        run.tell("on_log", logs={"loss": loss})
        run.tell("on_log", logs={"eval_loss": 1e6})
        if run.control.should_training_stop:
            return run.state.global_step
    return 0


@pytest.mark.parametrize(
    ("options", "losses", "stopped"),
    [
        ({"patience": 2}, [1, 1, 1, 5, 6, 1], 5),
        ({"patience": 2}, [1, 1, 1, 5, 1, 5, 1, 5], 0),
        ({"patience": 1, "factor": 2}, [1, 1, 1, 1.9, 2.1], 5),
        ({"patience": 1}, [1, 9, 9, 9, 9], 0),
        ({"patience": 1}, [0.01, 0.01, 0.01, 0.1], 0),
        ({"patience": 1, "min_rise": 0.0}, [0.01, 0.01, 0.01, 0.1], 4),
        ({"patience": 1, "factor": 2}, [-1, -1, -1, -0.5, 0.5], 5),
        ({"patience": 1, "factor": 2, "window": 3}, [1, 1, 1, 1.8, 1.8, 2.5], 0),
    ],
)
def test_it_stops_after_a_row_of_spikes_over_the_running_median(make_run, options, losses, stopped):
    assert log(make_run(LossGuard(**options)), losses) == stopped


def test_the_error_names_the_steps_and_the_losses(make_run):
    run = make_run(LossGuard(patience=2))
    log(run, [1, 1.1, 1.2, 5, 60])
    with pytest.raises(SwiftError) as error:
        run.tell("on_train_end")
    (problem,) = error.value.problems
    assert problem.code == "loss-spike"
    assert problem.message == (
        "callback loss_guard stopped the run: the loss was 5 at step 4; 60 at step 5: more than 3 times its running "
        "median 1.1."
    )


def test_a_calm_run_ends_without_a_word(make_run, capsys):
    run = make_run(LossGuard())
    assert log(run, [3, 2, 1, 1, 2, 1]) == 0
    run.tell("on_train_end")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factor": 1.0}, "factor must be > 1, got 1.0"),
        ({"patience": 0}, "patience must be >= 1, got 0"),
        ({"window": 2}, "window must be >= 3, got 2"),
        ({"min_rise": -0.1}, "min_rise must be >= 0, got -0.1"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        LossGuard(**options)
