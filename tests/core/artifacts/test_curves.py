from swift_core.artifacts.curves import charts


def test_training_and_held_out_values_share_a_chart_with_gaps():
    lines = [
        {"step": 0, "eval_loss": 2.0},
        {"step": 5, "loss": 1.0},
        {"step": 10, "loss": 0.5},
        {"step": 10, "eval_loss": 0.6},
    ]
    (chart,) = charts(lines)
    assert chart.title == "Loss"
    assert chart.steps == [0, 5, 10]
    assert chart.series == {"held out": [2.0, None, 0.6], "training": [None, 1.0, 0.5]}


def test_the_loss_comes_first_and_unknown_figures_last():
    names = ["zeal", "grad_norm", "learning_rate", "reward_margin", "loss"]
    titles = [chart.title for chart in charts([{"step": 1, **dict.fromkeys(names, 1.0)}])]
    assert titles == ["Loss", "Reward margin", "Learning rate", "Gradient norm", "Zeal"]


def test_a_lost_number_is_a_gap_that_is_told():
    (chart,) = charts([{"step": 1, "loss": 1.0}, {"step": 2, "loss": None, "nonfinite": {"loss": "nan"}}])
    assert chart.series == {"training": [1.0, None]}
    assert chart.nonfinite == ["loss was nan at step 2"]


def test_bookkeeping_and_words_have_no_chart():
    line = {
        "step": 1,
        "epoch": 1.0,
        "time": 1.0,
        "eval_runtime": 1.0,
        "train_samples_per_second": 2.0,
        "note": "x",
        "ok": True,
    }
    assert charts([line]) == []
