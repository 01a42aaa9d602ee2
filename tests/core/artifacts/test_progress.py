import io

import pytest
from rich.console import Console

from swift_core.artifacts.progress import Progress
from swift_core.artifacts.progress_text import log_line, loss_plot


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(progress, state, num_steps=20):
    """Tell `progress` of a short run with a log event every fifth step."""
    progress.on_log(None, state, None, logs={"eval_loss": 2.0, "eval_runtime": 0.1})
    progress.on_train_begin(None, state, None)
    for step in range(1, num_steps + 1):
        state.global_step = step
        progress.on_step_end(None, state, None)
        if step % 5 == 0:
            progress.on_log(None, state, None, logs={"loss": 1.0 / step, "learning_rate": 1e-4, "epoch": 0.5})
    progress.on_log(None, state, None, logs={"train_runtime": 3.0, "train_loss": 0.1, "epoch": 1.0})
    progress.on_train_end(None, state, None)


@pytest.fixture
def watched(make_plan, trainer_state):
    def watch(file, **console):
        run(Progress(make_plan(), Console(file=file, width=100, **console)), trainer_state)
        return file.getvalue()

    return watch


def test_off_a_terminal_every_log_event_is_one_plain_line(watched):
    output = watched(io.StringIO())
    lines = output.splitlines()
    assert lines[0] == "step 0/20  eval_loss 2"
    assert lines[1].startswith("step 5/20  loss 0.2  learning_rate 0.0001  ")
    assert lines[1].endswith("s")
    assert len(lines) == 5
    assert "\r" not in output
    assert "\x1b" not in output


def test_forced_colours_do_not_make_a_file_a_terminal(watched, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\r" not in watched(io.StringIO())


def test_on_a_terminal_the_reward_stands_beside_the_loss(make_plan, trainer_state, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    file = Terminal()
    progress = Progress(make_plan(), Console(file=file, width=140, force_terminal=True))
    progress.on_train_begin(None, trainer_state, None)
    progress.on_log(None, trainer_state, None, logs={"loss": 0.5, "reward": 0.25})
    progress.on_train_end(None, trainer_state, None)
    assert "loss 0.5  reward 0.25" in file.getvalue()


def test_on_a_terminal_there_is_a_bar_and_then_a_plot(watched, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    output = watched(Terminal(), force_terminal=True)
    assert "20/20" in output
    assert "loss 0.05" in output
    assert "eval_loss 2" in output
    plot = output[output.rindex("20/20") :]
    assert "(step)" in plot


def test_other_processes_show_nothing(make_plan, trainer_state):
    trainer_state.is_world_process_zero = False
    file = io.StringIO()
    run(Progress(make_plan(), Console(file=file)), trainer_state)
    assert file.getvalue() == ""


def test_a_run_that_never_logged_a_loss_ends_quietly(make_plan, trainer_state):
    file = Terminal()
    progress = Progress(make_plan(), Console(file=file, force_terminal=True))
    progress.on_train_begin(None, trainer_state, None)
    progress.on_train_end(None, trainer_state, None)
    assert "(step)" not in file.getvalue()


def test_a_line_without_a_figure_is_not_shown():
    assert log_line({"eval_runtime": 1.0, "epoch": 0.5}, step=1, num_steps=2) == ""


def test_a_line_shows_four_digits():
    assert log_line({"loss": 0.123456, "num": 7}, step=1, num_steps=-1) == "step 1  loss 0.1235  num 7"


@pytest.mark.parametrize("width", [10, 80, 400])
def test_a_plot_fits_the_terminal(width):
    plot = loss_plot([(step, 1.0 / step) for step in range(1, 50)], width=width)
    assert max(map(len, plot.splitlines())) <= max(width, 46)


def test_a_flat_loss_can_be_plotted():
    assert "(step)" in loss_plot([(1, 0.5), (2, 0.5)])
