"""A loss, gradient or weight that is no finite number: no step is taken, nothing of it is saved, the rows are named."""

import dataclasses
import math

import pytest
import torch
from safetensors.torch import load_file

from swift_core.assemble.kinds.tokens import TokenCollator
from swift_core.contracts.loss import LossOutput
from swift_core.errors import NonFiniteError
from swift_core.train.supervised import Supervised

ROWS = [{"input_ids": [1, 5 + index, 9, 3], "labels": [-100, 5 + index, 9, 3], "row": index} for index in range(8)]


class Poisoned:
    """Cross-entropy whose loss or gradient is `value` where a row's second token says so."""

    def __init__(self, rows, value=math.nan, gradient_only=False):
        self.rows, self.value, self.gradient_only = {5 + row for row in rows}, value, gradient_only

    def __call__(self, outputs, labels):
        losses = outputs.token_losses if hasattr(outputs, "token_losses") else -outputs.logps
        if self.rows & set(labels[:, 1].tolist()):
            if self.gradient_only:
                losses.register_hook(lambda gradient: gradient * self.value)
            else:
                losses = losses * self.value
        return LossOutput(losses)


@pytest.fixture
def make_trainer(make_parts):
    """Return a function (loss, train settings) -> a trainer that takes a row a step and saves each step."""

    def make(loss, **train):
        options = {"max_steps": 6, "per_device_train_batch_size": 1, "save_strategy": "steps", "save_steps": 1, **train}
        parts = make_parts(loss, ROWS, TokenCollator(0), learning_rate=0.01, **options)
        made = dataclasses.replace(parts, make_optimizer=lambda model: torch.optim.AdamW(model.parameters(), lr=0.01))
        return Supervised.build(made)

    return make


def weights(trainer):
    return {name: value.detach().clone() for name, value in trainer.module.named_parameters()}


@pytest.mark.parametrize("max_grad_norm", [1.0, 0.0])
@pytest.mark.parametrize("gradient_only", [False, True])
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("row", [0, 3])
def test_the_run_stops_at_that_step_and_names_its_rows(make_trainer, row, value, gradient_only, max_grad_norm):
    trainer = make_trainer(Poisoned({row}, value, gradient_only), max_grad_norm=max_grad_norm)
    with pytest.raises(NonFiniteError) as error:
        trainer.train()
    (problem,) = error.value.problems
    assert error.value.exit_code == 3
    assert problem.code == ("non-finite-gradient" if gradient_only else "non-finite-loss")
    assert f"of step {row + 1} is" in problem.message
    assert f"rows {row})" in problem.message
    assert trainer.state.global_step == row
    for folder in trainer.parts.directory.glob("checkpoint-*"):
        assert all(value.isfinite().all() for value in load_file(folder / "model.safetensors").values())


def test_the_micro_batch_is_named_where_a_step_has_several(make_trainer):
    trainer = make_trainer(Poisoned({2}), gradient_accumulation_steps=4, max_steps=2)
    with pytest.raises(NonFiniteError, match=r"\(micro-batch 3 of 4, rows 2\)"):
        trainer.train()


@pytest.mark.parametrize("gradient_only", [False, True])
def test_a_step_that_is_left_out_leaves_weights_and_optimizer_as_they_were(make_trainer, gradient_only, capfd):
    trainer = make_trainer(Poisoned({2}, gradient_only=gradient_only), on_nonfinite="skip", max_steps=4)
    trainer.train()
    assert "of step 3 is nan (micro-batch 1 of 1, rows 2)" in capfd.readouterr().err
    assert trainer.state.global_step == 4
    saved = [load_file(trainer.parts.directory / f"checkpoint-{step}" / "model.safetensors") for step in (3, 4)]
    states = torch.load(trainer.parts.directory / "checkpoint-4" / "optimizer.pt", weights_only=True)["state"]
    assert {float(state["step"]) for state in states.values()} == {3.0}
    assert any(not torch.equal(saved[0][name], saved[1][name]) for name in saved[0])
    assert all(value.isfinite().all() for value in saved[1].values())
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    assert [math.isfinite(loss) for loss in losses] == [True, True, gradient_only and False, True]


def test_a_skipped_step_moves_nothing(make_trainer):
    trainer = make_trainer(Poisoned({0}), on_nonfinite="skip", max_steps=1, save_strategy="no")
    before = weights(trainer)
    trainer.train()
    assert all(torch.equal(value, before[name]) for name, value in weights(trainer).items())


def test_too_many_in_a_row_stop_the_run(make_trainer):
    trainer = make_trainer(Poisoned({1, 2, 3, 4}), on_nonfinite="skip", nonfinite_limit=2)
    with pytest.raises(NonFiniteError, match=r"of step 4 is nan .* 2 steps before it were left out already"):
        trainer.train()


def test_a_weight_that_is_not_finite_is_never_written(make_trainer):
    trainer = make_trainer(Poisoned({}), max_steps=2)
    trainer.train()
    with torch.no_grad():
        trainer.module.model.norm.weight[0] = math.nan
    with pytest.raises(NonFiniteError, match=r"model.norm.weight holds a number that is not finite"):
        trainer._save_checkpoint(trainer.module, None)
    assert sorted(path.name for path in trainer.parts.directory.iterdir()) == ["checkpoint-1", "checkpoint-2"]
