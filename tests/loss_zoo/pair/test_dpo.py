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


DERIVATIVES = {
    "forward_kl": lambda u, _: -1 / u,
    "js": lambda u, _: math.log(2 * u / (1 + u)),
    "alpha": lambda u, alpha: (1 - u**-alpha) / alpha,
}
"""f' of the divergences, as functions of u = pi / ref."""


@pytest.mark.parametrize("divergence", list(DERIVATIVES))
@given(ratios=st.tuples(st.floats(-15, 15), st.floats(-15, 15)), beta=st.floats(0.01, 1), alpha=st.floats(0.01, 0.99))
def test_matches_the_formula_of_other_divergences(divergence, ratios, beta, alpha):
    used = alpha if divergence == "alpha" else 0.5
    output = loss(
        DPO(beta=beta, f_divergence=divergence, alpha=used),
        chosen_logps=ratios[0],
        rejected_logps=ratios[1],
        reference_chosen_logps=0.0,
        reference_rejected_logps=0.0,
    )
    rewards = [DERIVATIVES[divergence](math.exp(ratio), used) for ratio in ratios]
    z = beta * (rewards[0] - rewards[1])
    expected = max(-z, 0) + math.log1p(math.exp(-abs(z)))
    assert output.losses.item() == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("alpha", "limit"), [(1e-9, "reverse_kl"), (1 - 1e-9, "forward_kl")])
def test_the_alpha_divergence_lies_between_the_two_kls(one_pair_loss, alpha, limit):
    numbers = (-5.0, -7.0, -6.0, -5.0)
    nearly = one_pair_loss(DPO(f_divergence="alpha", alpha=alpha), *numbers)
    assert nearly == pytest.approx(one_pair_loss(DPO(f_divergence=limit), *numbers), rel=1e-6)


@pytest.mark.parametrize("divergence", ["reverse_kl", *DERIVATIVES])
def test_an_untrained_policy_has_no_reward_under_any_divergence(divergence):
    output = loss(
        DPO(f_divergence=divergence),
        chosen_logps=-5,
        rejected_logps=-7,
        reference_chosen_logps=-5,
        reference_rejected_logps=-7,
    )
    assert output.metrics["reward_chosen"].item() == pytest.approx(0.0)
    assert output.losses.item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("divergence", ["reverse_kl", *DERIVATIVES])
def test_every_divergence_is_finite_at_extremes(finite_at_extremes, divergence):
    finite_at_extremes(DPO(f_divergence=divergence))
    finite_at_extremes(DPO(f_divergence=divergence, beta=2.0, label_smoothing=0.1))


@pytest.mark.parametrize("divergence", ["reverse_kl", *DERIVATIVES])
def test_every_divergence_raises_the_chosen_and_lowers_the_rejected(one_pair_gradient, divergence):
    chosen, rejected = one_pair_gradient(DPO(f_divergence=divergence), -4.0, -6.0, -5.0, -5.0)
    assert chosen < 0 < rejected


def test_without_a_reference_plain_log_probabilities_are_compared():
    output = loss(DPO(beta=0.5, reference_free=True), chosen_logps=-3, rejected_logps=-5)
    assert output.losses.item() == pytest.approx(0.313262)  # log(1 + exp(-1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"f_divergence": "alpha", "alpha": 0.0}, r"alpha must be > 0, got 0\.0"),
        ({"f_divergence": "alpha", "alpha": 1.0}, r"alpha must be in \[0, 1\), got 1\.0"),
        ({"f_divergence": "js", "alpha": 0.3}, "alpha has no effect with f_divergence: js"),
        (
            {"f_divergence": "js", "reference_free": True},
            "reference_free has no reference for f_divergence: js to measure from",
        ),
    ],
)
def test_rejects_options_that_do_not_go_together(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        DPO(**options)
