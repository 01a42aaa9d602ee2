"""An optimizer that trains at one point and keeps another: evaluation, checkpoints and the result see what is kept."""

import dataclasses

import pytest
import torch
from safetensors.torch import load_file

from swift_core.assemble.kinds.tokens import TokenCollator
from swift_core.builtins.cross_entropy import CrossEntropy
from swift_core.train import _fit
from swift_core.train.supervised import Supervised

ROWS = [{"input_ids": [1, 5, 9, 3], "labels": [-100, 5, 9, 3], "row": index} for index in range(4)]


class Shifted(torch.optim.SGD):
    """SGD that keeps its weights one lower than where it takes gradients."""

    is_training = True

    def _switch(self, is_training):
        if is_training != self.is_training:
            with torch.no_grad():
                for group in self.param_groups:
                    for parameter in group["params"]:
                        parameter.add_(1.0 if is_training else -1.0)
        self.is_training = is_training

    def train(self):
        self._switch(True)

    def eval(self):
        self._switch(False)


@pytest.fixture
def make_trainer(make_parts):
    """Return a function (train settings) -> a trainer whose steps move nothing."""

    def make(**train):
        parts = make_parts(CrossEntropy(), ROWS, TokenCollator(0), max_steps=2, **train)
        return Supervised.build(
            dataclasses.replace(parts, make_optimizer=lambda model: Shifted(model.parameters(), lr=0.0))
        )

    return make


def norm_of(trainer):
    return trainer.module.model.norm.weight.detach().clone()


def test_checkpoints_hold_the_kept_weights(make_trainer):
    trainer = make_trainer(save_strategy="steps", save_steps=1)
    start = norm_of(trainer)
    trainer.train()
    saved = [load_file(path) for path in sorted(trainer.parts.directory.glob("checkpoint-*/model.safetensors"))]
    assert len(saved) == 2
    for weights in saved:
        torch.testing.assert_close(weights["model.norm.weight"], start - 1)


def test_evaluation_sees_the_kept_weights_and_training_goes_on_at_the_others(make_trainer):
    trainer = make_trainer()
    start = norm_of(trainer)
    trainer.train()
    torch.testing.assert_close(norm_of(trainer), start)
    trainer.evaluate()
    torch.testing.assert_close(norm_of(trainer), start - 1)
    trainer.training_step(trainer.model, next(iter(trainer.get_train_dataloader())))
    torch.testing.assert_close(norm_of(trainer), start)


def test_the_result_is_what_is_kept(make_trainer):
    trainer = make_trainer()
    start = norm_of(trainer)
    _fit(trainer)
    torch.testing.assert_close(norm_of(trainer), start - 1)
