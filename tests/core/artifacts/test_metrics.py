from swift_core.artifacts.metrics import MetricsLog, read_metrics


def test_every_log_event_is_on_disk_when_the_call_returns(tmp_path, trainer_state):
    log = MetricsLog(tmp_path)
    for step in (1, 2):
        trainer_state.global_step = step
        log.on_log(None, trainer_state, None, logs={"loss": 1.0 / step, "epoch": step / 10})
        assert [line["step"] for line in read_metrics(tmp_path)] == list(range(1, step + 1))
    assert [line["epoch"] for line in read_metrics(tmp_path)] == [0.1, 0.2]


def test_other_processes_write_nothing(tmp_path, trainer_state):
    trainer_state.is_world_process_zero = False
    MetricsLog(tmp_path).on_log(None, trainer_state, None, logs={"loss": 1.0})
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_run_goes_on_after_its_checkpoint(tmp_path, trainer_state):
    log = MetricsLog(tmp_path)
    for step in range(4):
        trainer_state.global_step = step
        log.on_log(None, trainer_state, None, logs={"loss": 1.0})
    trainer_state.global_step = 2
    log.on_train_begin(None, trainer_state, None)
    assert [line["step"] for line in read_metrics(tmp_path)] == [0, 1, 2]


def test_a_new_run_keeps_what_was_judged_before_its_first_step(tmp_path, trainer_state):
    log = MetricsLog(tmp_path)
    log.on_log(None, trainer_state, None, logs={"eval_loss": 1.0})
    log.on_train_begin(None, trainer_state, None)
    assert [line["eval_loss"] for line in read_metrics(tmp_path)] == [1.0]


def test_what_a_run_that_goes_on_is_judged_by_beforehand_is_not_written_twice(tmp_path, trainer_state):
    log = MetricsLog(tmp_path)
    for trainer_state.global_step in range(3):
        log.on_log(None, trainer_state, None, logs={"eval_loss": 1.0})
    log = MetricsLog(tmp_path, goes_on=True)
    trainer_state.global_step = 0
    log.on_log(None, trainer_state, None, logs={"eval_loss": 1.0})
    trainer_state.global_step = 2
    log.on_train_begin(None, trainer_state, None)
    trainer_state.global_step = 3
    log.on_log(None, trainer_state, None, logs={"eval_loss": 0.5})
    assert [line["step"] for line in read_metrics(tmp_path)] == [0, 1, 2, 3]


def test_text_that_utf8_cannot_hold_is_written_as_json_escapes_it(tmp_path, trainer_state):
    MetricsLog(tmp_path).on_log(None, trainer_state, None, logs={"note": "half \ud83d of a pair"})
    assert read_metrics(tmp_path)[0]["note"] == "half \ud83d of a pair"
