"""A run that goes on from a checkpoint ends as the one that was never stopped: weights, optimizer and logged losses.

Every installed optimizer and stateful callback, with dropout, accumulation, shuffling, a second epoch and data workers.
"""

import dataclasses
import shutil
import time
from types import SimpleNamespace

import pytest
import torch
from transformers import TrainerCallback

from swift_core.assemble.kinds.tokens import TokenCollator
from swift_core.builtins.cross_entropy import CrossEntropy
from swift_core.contracts.settings import DataSettings
from swift_core.plugins.options import build, prepared, read_source
from swift_core.plugins.registry import installed
from swift_core.train.supervised import Supervised

ROWS = [{"input_ids": [1, 5 + n, 9, 3 + n % 5], "labels": [-100, 5 + n, 9, 3 + n % 5], "row": n} for n in range(10)]
FILLED = {"lr": 1e-2, "weight_decay": 0.1, "betas": [0.9, 0.99], "eps": 1e-8}
OPTIMIZERS = {f"{spec.name}": spec for spec in installed().specs("optimizer") if spec.first_party}
STATEFUL = {
    "ema": {"decay": 0.8},
    "early_stopping": {"patience": 50},
    "loss_guard": {},
}


def groups(model):
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    return [
        {"params": [p for _, p in own], "param_names": [n for n, _ in own], "weight_decay": decay}
        for decay, own in (
            (0.1, [(n, p) for n, p in named if p.ndim > 1]),
            (0.0, [(n, p) for n, p in named if p.ndim < 2]),
        )
    ]


def optimizer_of(spec):
    """Return what builds an optimizer as core does, with its defaults."""

    def make(model):
        target = installed().load(spec)
        filled = {option.name: FILLED[option.name] for option in read_source(spec).options if option.name in FILLED}
        return target(groups(model), **prepared(target, filled))

    return make


@pytest.fixture
def make_trainer(make_parts, tmp_path):
    """Return a function (folder, optimizer, callbacks, train settings) -> a trainer of the same run."""

    def make(name, make_optimizer=None, callbacks=(), **train):
        train = {
            "max_steps": 8,
            "per_device_train_batch_size": 1,
            "gradient_accumulation_steps": 2,
            "save_strategy": "steps",
            "save_steps": 3,
            "save_total_limit": 9,
            **train,
        }
        parts = make_parts(CrossEntropy(), ROWS, TokenCollator(0), **train)
        settings = dataclasses.replace(parts.plan.settings, data=DataSettings(dataset="none", shuffle=True))
        for module in parts.model.modules():
            if hasattr(module, "attention_dropout"):
                module.attention_dropout = 0.2
        optimizer = SimpleNamespace(source=SimpleNamespace(declared={}))
        plan = SimpleNamespace(**{**vars(parts.plan), "settings": settings, "optimizer": optimizer})
        changes = {"make_optimizer": make_optimizer} if make_optimizer else {}
        parts = dataclasses.replace(
            parts, plan=plan, directory=tmp_path / name, callbacks=[each() for each in callbacks], **changes
        )
        trainer = Supervised.build(parts)
        for each in parts.callbacks:
            if hasattr(each, "attach"):
                each.attach(trainer)
        return trainer

    return make


def end_of(trainer, resume=None):
    """Train; return the weights, the optimizer's state and the logged losses, the total among them."""
    torch.manual_seed(7)  # what came before must not matter
    trainer.parts.resume_from = resume
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    trainer.show_kept_weights()
    state = dict(flat("", trainer.optimizer.state_dict()))
    weights = {name: value.detach().clone() for name, value in trainer.module.state_dict().items()}
    lines = trainer.state.log_history
    figures = ("step", "loss", "grad_norm", "train_loss")
    losses = [[line.get(name) for name in figures] for line in lines if "loss" in line or "train_loss" in line]
    return weights, state, losses


def flat(key, value):
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from flat(f"{key}.{name}", inner)
    elif isinstance(value, (list, tuple)):
        for index, inner in enumerate(value):
            yield from flat(f"{key}.{index}", inner)
    else:
        yield key, value


def assert_equal(first, second):
    for one, other in zip(first[:2], second[:2], strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, other[name]), name
            elif not callable(value):
                assert value == other[name], name
    assert first[2] == second[2]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_on_bit_for_bit(make_trainer, name):
    make_optimizer = optimizer_of(OPTIMIZERS[name])
    whole = end_of(make_trainer("whole", make_optimizer))
    checkpoint = make_trainer("again").parts.directory.with_name("whole") / "checkpoint-3"
    assert_equal(end_of(make_trainer("again", make_optimizer), checkpoint), whole)


@pytest.mark.parametrize("name", STATEFUL)
def test_callbacks_with_a_state_go_on_bit_for_bit(make_trainer, tmp_path, name):
    (spec,) = (spec for spec in installed().specs("callback") if spec.name == name)

    def callback():
        return build(installed().load(spec), STATEFUL[name])

    options = {"eval_strategy": "steps", "eval_steps": 1}
    whole = end_of(make_trainer("whole", callbacks=[callback], **options))
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    again = make_trainer("again", callbacks=[callback], **options)
    assert_equal(end_of(again, tmp_path / "again" / "checkpoint-6"), whole)


@pytest.mark.parametrize("step", [3, 5, 6, 8])
@pytest.mark.parametrize("workers", [0, 1])
def test_any_step_goes_on_within_and_at_the_end_of_an_epoch_and_of_the_run_with_and_without_workers(
    make_trainer, tmp_path, step, workers
):
    options = {"save_steps": 1, "dataloader_num_workers": workers}
    whole = end_of(make_trainer("whole", **options))
    assert_equal(end_of(make_trainer("again", **options), tmp_path / "whole" / f"checkpoint-{step}"), whole)


def test_a_line_of_the_log_and_the_total_count_the_steps_before_the_stop(make_trainer, tmp_path):
    options = {"logging_steps": 5, "max_steps": 7}
    whole = end_of(make_trainer("whole", **options))
    again = make_trainer("again", **options)
    assert_equal(end_of(again, tmp_path / "whole" / "checkpoint-3"), whole)
    every = [loss for _, loss, *_ in end_of(make_trainer("each", logging_steps=1, max_steps=7))[2] if loss is not None]
    _, line, total = whole[2]  # the first step has a line of its own
    assert line[1] == pytest.approx(sum(every[1:5]) / 4, rel=1e-12)  # as many tokens in each step
    assert total[3] == pytest.approx(sum(every) / 7, rel=1e-12)


def test_a_run_that_had_stopped_early_is_not_trained_further(make_trainer, tmp_path):
    def callback():
        (spec,) = (spec for spec in installed().specs("callback") if spec.name == "early_stopping")
        return build(installed().load(spec), {"patience": 2, "min_delta": 100.0})

    options = {"eval_strategy": "steps", "eval_steps": 1, "save_steps": 1}
    whole = end_of(make_trainer("whole", callbacks=[callback], **options))
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    again = make_trainer("again", callbacks=[callback], **options)
    assert_equal(end_of(again, tmp_path / "again" / "checkpoint-3"), whole)
    assert again.state.global_step == 3


class Stop(TrainerCallback):
    """Ends training when the first step is done."""

    def on_step_end(self, args, state, control, **_):
        control.should_training_stop = True


class Million:
    """A million rows, of which it counts those that are read."""

    def __init__(self):
        self.reads = 0

    def __len__(self):
        return 1_000_000

    def __getitem__(self, index):
        self.reads += 1
        return ROWS[index % len(ROWS)]


def test_skipping_most_of_a_million_rows_takes_less_than_a_second_and_reads_none_of_them(make_trainer, tmp_path):
    make_trainer("whole", save_steps=1, max_steps=1).train()
    folder = tmp_path / "whole" / "checkpoint-1"
    state = (folder / "trainer_state.json").read_text()

    def seconds_from(step):
        (folder / "trainer_state.json").write_text(state.replace('"global_step": 1,', f'"global_step": {step},'))
        trainer = make_trainer("again", max_steps=500_000, save_strategy="no")
        trainer.train_dataset = rows = Million()
        trainer.add_callback(Stop())
        began = time.process_time()
        trainer.train(resume_from_checkpoint=str(folder))
        assert trainer.state.global_step == step + 1
        assert rows.reads < 10
        return time.process_time() - began

    seconds_from(1)  # what is imported and compiled once
    assert seconds_from(450_000) - seconds_from(1) < 1.0  # two rows a step
