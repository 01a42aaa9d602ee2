# ruff: noqa: D100, D103
import math

import pytest
import torch
from acme_swift_focal.callback import StopAtLoss
from acme_swift_focal.loss import FocalTokens
from acme_swift_focal.reward import Brevity
from transformers import TrainerControl, TrainerState

from swift_core.plugin_api import TokenOutputs


def tokens(*probabilities):
    logps = torch.tensor(probabilities).log().requires_grad_()
    return TokenOutputs({"logps": lambda: logps, "weights": lambda: torch.ones(len(probabilities))})


def test_a_token_of_probability_one_half_has_a_quarter_of_its_cross_entropy():
    assert FocalTokens(gamma=2.0)(tokens(0.5)).losses.item() == pytest.approx(math.log(2) / 4)


def test_gamma_zero_is_cross_entropy():
    outputs = tokens(0.1, 0.9)
    torch.testing.assert_close(FocalTokens(gamma=0.0)(outputs).losses, -outputs.logps)


def test_a_certain_token_has_a_finite_gradient():
    outputs = tokens(1.0)
    FocalTokens(gamma=0.5)(outputs).losses.sum().backward()
    assert outputs.logps.grad.isfinite().all()


def test_refuses_a_negative_gamma():
    with pytest.raises(ValueError, match=r"^gamma must be >= 0, got -1"):
        FocalTokens(gamma=-1.0)


def test_long_answers_score_less_and_empty_ones_not_at_all():
    assert Brevity(num_words=2)(["a b", "a b c", "a b c d e", " "]) == [1.0, 0.5, 0.0, None]


@pytest.mark.parametrize(("loss", "stops"), [(0.01, True), (0.5, False)])
def test_stops_under_the_limit(loss, stops):
    control = StopAtLoss(loss=0.1).on_log(None, TrainerState(), TrainerControl(), logs={"loss": loss})
    assert control.should_training_stop is stops
