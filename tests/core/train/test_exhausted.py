"""Memory that runs out and data workers that die are told with the step and the next knob; real ones, made to fail."""

import dataclasses
import errno

import pytest
import torch
from transformers import TrainerCallback

from swift_core.assemble import assemble
from swift_core.assemble.callbacks import held
from swift_core.assemble.kinds.tokens import TokenCollator
from swift_core.builtins.cross_entropy import CrossEntropy
from swift_core.cli.main import main, swift
from swift_core.config.load import parse
from swift_core.contracts.settings import DataSettings
from swift_core.errors import OutOfMemoryError, SwiftError
from swift_core.plugins.registry import installed
from swift_core.resolve.plan import resolve
from swift_core.train import _fit, _judge
from swift_core.train.exhausted import is_out_of_memory
from swift_core.train.supervised import Supervised

ROWS = [{"input_ids": [1, 5 + n, 9, 3], "labels": [-100, 5 + n, 9, 3], "row": n} for n in range(32)]


class Hungry(CrossEntropy):
    """Asks for a tebibyte, which no machine of ours has, in the call numbered `at`."""

    at = 0
    calls = 0

    def __call__(self, tokens):
        type(self).calls += 1
        if self.calls == self.at:
            torch.empty(2**50)
        return super().__call__(tokens)


@pytest.fixture
def make_trainer(make_parts):
    """Return a function (loss, train settings) -> a trainer."""

    def make(loss, **train):
        train = {"max_steps": 4, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, **train}
        return Supervised.build(make_parts(loss, ROWS, TokenCollator(0), **train))

    return make


def hungry(at):
    return type("Hungry", (Hungry,), {"at": at, "calls": 0})()


def test_the_step_is_named_with_the_knobs_that_keep_what_is_trained(make_trainer):
    trainer = make_trainer(hungry(4))
    with pytest.raises(OutOfMemoryError) as caught:
        _fit(trainer)
    (problem,) = caught.value.problems
    assert caught.value.exit_code == 4
    assert problem.message.startswith(
        "Memory ran out in step 2 (micro-batch 2, 4 x 4 tokens), which asked for 4503599627370496 bytes"
    )
    first, second = problem.next_step.split("; or ")[:2]
    assert first == "train.per_device_train_batch_size=2 with train.gradient_accumulation_steps=4"
    assert second == "train.gradient_checkpointing=true"


def test_a_run_with_a_checkpoint_is_told_how_to_go_on(make_trainer):
    trainer = make_trainer(hungry(4), save_strategy="steps", save_steps=1)
    with pytest.raises(OutOfMemoryError) as caught:
        _fit(trainer)
    assert caught.value.problems[0].next_step.endswith("--resume-changed")
    assert (trainer.parts.directory / "checkpoint-1" / "manifest.json").is_file()


def test_memory_that_runs_out_in_a_backward_pass_is_of_that_micro_batch_and_after_the_last_of_none(make_trainer):
    trainer = make_trainer(CrossEntropy())
    for parameter in trainer.model.parameters():
        parameter.register_hook(lambda gradient: torch.empty(2**50))
    with pytest.raises(OutOfMemoryError, match=r"ran out in step 1 \(micro-batch 1, 4 x 4 tokens\), which asked"):
        _fit(trainer)
    trainer = make_trainer(CrossEntropy())
    trainer.create_optimizer()
    trainer.optimizer.register_step_pre_hook(lambda *_: torch.empty(2**50))
    with pytest.raises(OutOfMemoryError, match=r"in step 1, after its gradient \(micro-batch 2, 4 x 4 tokens\), which"):
        _fit(trainer)


def test_memory_that_runs_out_while_a_model_is_loaded_is_told_with_what_to_change(tmp_path, monkeypatch, demo_folder):
    text = "model: {model_id: demo:tiny}\ndata: {dataset: demo:chat}\ntrain: {tuner_strategy: full}\n"
    plan = resolve(parse(text, tmp_path / "run.yaml"), installed())
    monkeypatch.setattr("swift_core.assemble.model.load_weights", lambda *_: torch.empty(2**50))
    with pytest.raises(OutOfMemoryError, match="Memory ran out while model and data were loaded") as caught:
        assemble(plan, tmp_path / "out")
    (problem,) = caught.value.problems
    assert problem.next_step.startswith("model.dtype=bfloat16; or train.tuner_strategy=lora; or a smaller model")
    assert not (tmp_path / "out").exists()


def test_no_command_ends_in_a_traceback_for_want_of_memory(monkeypatch, capsys):
    def hungry(*_, **__):
        raise MemoryError

    monkeypatch.setattr(swift, "main", hungry)
    with pytest.raises(SystemExit) as caught:
        main(["plan", "run.yaml"])
    assert caught.value.code == 4
    assert "error[out-of-memory]: memory ran out: no more could be had." in capsys.readouterr().err


def test_knobs_that_are_turned_already_are_not_named(make_trainer):
    trainer = make_trainer(hungry(1), per_device_train_batch_size=1, gradient_checkpointing=True, tuner_strategy="full")
    settings = dataclasses.replace(trainer.parts.plan.settings, data=DataSettings(dataset="none", max_length=64))
    trainer.parts.plan.settings = settings
    with pytest.raises(OutOfMemoryError) as caught:
        _fit(trainer)
    assert caught.value.problems[0].next_step == "train.tuner_strategy=lora"


def test_memory_that_runs_out_while_held_out_rows_are_judged_is_told_as_that(make_trainer):
    with pytest.raises(OutOfMemoryError, match="in the judging of held-out rows") as caught:
        _judge(make_trainer(hungry(1)))
    assert caught.value.problems[0].next_step.startswith("train.per_device_eval_batch_size=4; or ")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_every_way_to_say_that_memory_ran_out_is_known(error):
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", [ValueError("out of memory"), RuntimeError("shapes do not match"), OSError(2, "x")])
def test_other_errors_are_not_taken_for_it(error):
    assert not is_out_of_memory(error)


DEAD = [
    "DataLoader worker (pid 4012) is killed by signal: Killed. ",
    "DataLoader worker (pid(s) 4012) exited unexpectedly",
    "DataLoader worker (pid 4012) exited unexpectedly with exit code 1. Details are lost due to multiprocessing.",
]


class Bereaved(CrossEntropy):
    """Meets the message of torch that a data worker died, which its handler raises wherever the process is."""

    message = ""

    def __call__(self, tokens):
        raise RuntimeError(self.message)


@pytest.mark.parametrize("message", DEAD)
def test_a_dead_data_worker_is_named_and_no_loss_is_blamed(make_trainer, message):
    with pytest.raises(SwiftError) as caught:
        _fit(make_trainer(type("Bereaved", (Bereaved,), {"message": message})()))
    (problem,) = caught.value.problems
    assert problem.code == "worker-died"
    assert "process 4012, ended before step 1" in problem.message
    assert "--resume auto" in problem.next_step


def test_no_loss_is_blamed_for_a_rank_that_is_gone(make_trainer, monkeypatch):
    message = "[pair.cc:553] Connection closed by peer [127.0.0.1]:33452."
    trainer = make_trainer(type("Bereaved", (Bereaved,), {"message": message})())
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RuntimeError, match="Connection closed by peer"):
        _fit(trainer)
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(SwiftError, match="raised RuntimeError"):
        _fit(trainer)


class HungryCallback(TrainerCallback):
    """Asks for too much memory after a step."""

    def on_step_end(self, args, state, control, **_):
        torch.empty(2**50)


def test_memory_that_runs_out_in_a_part_is_told_as_that_and_no_part_is_blamed(tmp_path):
    text = "model: {model_id: demo:tiny}\ndata: {dataset: demo:chat}\ntrain: {callbacks: [early_stopping]}\n"
    plan = resolve(parse(text, tmp_path / "run.yaml"), installed())
    callback = held(plan, plan.callbacks[0], HungryCallback())
    with pytest.raises(RuntimeError, match="can't allocate memory") as caught:
        callback.on_step_end(None, None, None)
    assert is_out_of_memory(caught.value)
