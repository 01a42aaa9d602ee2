"""An engine that is not the one of the plan is refused before the first step, with the rank and what differs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from swift_core.contracts.parallel import Parallel
from swift_core.errors import SwiftError
from swift_core.train.engine import readback
from swift_core.train.engine.readback import ReadBack, engine_of


class Zero(torch.nn.Module):
    """Says of itself what DeepSpeed's engine says."""

    dp_world_size = 2

    def __init__(self, stage=2, clipping=0.0, accumulation=3):
        super().__init__()
        self.inner = torch.nn.Linear(2, 2)
        self._says = stage, clipping, accumulation

    def zero_optimization_stage(self):
        return self._says[0]

    def gradient_clipping(self):
        return self._says[1]

    def gradient_accumulation_steps(self):
        return self._says[2]


def trainer_with(wrapped, method="single", world=1, norm=0.0, accumulation=1, precision="no", told_norm=None):
    """Return what stands in for a trainer whose plan has the arguments."""
    train = SimpleNamespace(gradient_accumulation_steps=accumulation, max_grad_norm=norm)
    plan = SimpleNamespace(
        settings=SimpleNamespace(train=train),
        parallel=Parallel(method, world, 1, {}),
        config=SimpleNamespace(place=lambda key: None),
    )
    return SimpleNamespace(
        parts=SimpleNamespace(plan=plan, facts={}),
        model_wrapped=wrapped,
        module=wrapped,
        accelerator=SimpleNamespace(mixed_precision=precision),
        args=SimpleNamespace(
            gradient_accumulation_steps=accumulation, max_grad_norm=norm if told_norm is None else told_norm
        ),
    )


def begin(trainer, change=lambda trainer: None):
    callback = ReadBack(trainer)
    change(trainer)
    callback.on_train_begin(None, None, None)


def test_what_runs_is_kept_with_the_run():
    trainer = trainer_with(torch.nn.Linear(2, 2), norm=1.0)

    begin(trainer)

    assert trainer.parts.facts["engine"] == {
        "engine": "single",
        "world": 1,
        "accumulation": 1,
        "clipping": 1.0,
        "mixed_precision": "no",
        "dtype": "float32",
    }


@pytest.mark.parametrize(
    ("trainer", "text"),
    [
        (trainer_with(torch.nn.Linear(2, 2), method="fsdp1"), "on rank 0 engine is single and not fsdp1"),
        (trainer_with(torch.nn.DataParallel(torch.nn.Linear(2, 2))), "engine is data_parallel and not single"),
        (trainer_with(torch.nn.Linear(2, 2), world=2), "world is 1 and not 2"),
        (trainer_with(torch.nn.Linear(2, 2), told_norm=1.0), "clipping is 1.0 and not 0.0"),
        (trainer_with(torch.nn.Linear(2, 2), precision="bf16"), "mixed_precision is bf16 and not no"),
        (trainer_with(Zero(stage=1), method="zero2", world=2, accumulation=3), "engine is zero1 and not zero2"),
        (trainer_with(Zero(clipping=1.0), method="zero2", world=2, accumulation=3), "clipping is 1.0 and not 0.0"),
        (trainer_with(Zero(accumulation=1), method="zero2", world=2, accumulation=3), "accumulation is 1 and not 3"),
        (trainer_with(Zero(), method="zero2", world=4, accumulation=3), "world is 2 and not 4"),
    ],
)
def test_another_engine_or_another_value_is_refused(trainer, text):
    with pytest.raises(SwiftError, match=text):
        begin(trainer)


def test_weights_that_the_engine_made_narrower_are_refused():
    def narrow(trainer):
        trainer.module.to(torch.bfloat16)

    with pytest.raises(SwiftError, match="dtype is bfloat16 and not float32"):
        begin(trainer_with(torch.nn.Linear(2, 2)), narrow)


def test_types_of_trained_and_frozen_weights_are_told_apart():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2).to(torch.bfloat16))
    model[1].requires_grad_(False)

    assert readback._types(model) == "float32 on bfloat16"


def test_deepspeeds_own_answers_make_its_stage():
    assert engine_of(Zero(stage=3)) == "zero3"
