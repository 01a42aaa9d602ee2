import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.testing.outputs import given_pairs
from swift_loss_zoo.pair.dpo import DPO

logp = st.floats(-200, 0)


def loss(dpo=None, **values):
    tensors = {name: torch.tensor([value], dtype=torch.float64) for name, value in values.items()}
    return (dpo or DPO())(given_pairs(**tensors))


@given(
    chosen=logp,
    rejected=logp,
    reference_chosen=logp,
    reference_rejected=logp,
    beta=st.floats(0.01, 2),
    label_smoothing=st.floats(0, 0.49),
)
def test_matches_the_formula(chosen, rejected, reference_chosen, reference_rejected, beta, label_smoothing):
    output = loss(
        DPO(beta=beta, label_smoothing=label_smoothing),
        chosen_logps=chosen,
        rejected_logps=rejected,
        reference_chosen_logps=reference_chosen,
        reference_rejected_logps=reference_rejected,
    )
    z = beta * ((chosen - reference_chosen) - (rejected - reference_rejected))
    softplus = lambda x: max(x, 0) + math.log1p(math.exp(-abs(x)))  # noqa: E731 - the formula on one line
    expected = (1 - label_smoothing) * softplus(-z) + label_smoothing * softplus(z)
    assert output.losses.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert output.metrics["reward_margin"].item() == pytest.approx(z, rel=1e-9, abs=1e-9)


def test_untrained_policy_scores_log_two():
    output = loss(chosen_logps=-5, rejected_logps=-7, reference_chosen_logps=-5, reference_rejected_logps=-7)
    assert output.losses.item() == pytest.approx(math.log(2))


@pytest.mark.parametrize(("chosen", "accuracy"), [(-4, 1.0), (-5, 0.5), (-6, 0.0)])
def test_accuracy_counts_a_tie_as_half(chosen, accuracy):
    output = loss(chosen_logps=chosen, rejected_logps=-7, reference_chosen_logps=-5, reference_rejected_logps=-7)
    assert output.metrics["reward_accuracy"].item() == accuracy


def test_gradient_raises_the_chosen_and_lowers_the_rejected():
    chosen, rejected = (torch.tensor([value], requires_grad=True) for value in (-5.0, -4.0))
    reference = torch.tensor([-5.0])
    output = DPO(beta=0.5)(
        given_pairs(
            chosen_logps=chosen,
            rejected_logps=rejected,
            reference_chosen_logps=reference,
            reference_rejected_logps=reference,
        )
    )
    output.losses.sum().backward()
    share = 1 / (1 + math.exp(-0.5))  # sigmoid(-z) at z = -0.5
    assert chosen.grad.item() == pytest.approx(-0.5 * share)
    assert rejected.grad.item() == pytest.approx(0.5 * share)


def test_stays_finite_at_extreme_ratios():
    values = {"rejected_logps": 0.0, "reference_chosen_logps": 0.0, "reference_rejected_logps": 0.0}
    assert loss(chosen_logps=-1e4, **values).losses.item() == pytest.approx(1e3)
    assert loss(chosen_logps=1e4, **values).losses.item() == pytest.approx(0.0)


@pytest.mark.parametrize("beta", [0.0, -1.0, math.inf, math.nan])
def test_rejects_a_beta_that_is_not_positive(beta):
    with pytest.raises(ValueError, match=r"^beta must be > 0, got "):
        DPO(beta=beta)


@pytest.mark.parametrize("label_smoothing", [-0.1, 0.5, 1.0])
def test_rejects_label_smoothing_outside_its_range(label_smoothing):
    with pytest.raises(ValueError, match=r"^label_smoothing must be in \[0, 0\.5\), got "):
        DPO(label_smoothing=label_smoothing)
