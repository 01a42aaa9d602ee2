import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.unpaired.kto import KTO

logp = st.floats(-200, 0)
row = st.tuples(st.booleans(), logp, logp, logp, logp)


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def formula(rows, beta, desirable_weight, undesirable_weight, kl=None):
    """Return the losses of equation 8: lambda_y - v(x, y), with the estimate of z0 of section 4.1."""
    if kl is None:
        kl = sum(pi - ref for _, _, _, pi, ref in rows) / len(rows)
    z0 = max(kl, 0.0)
    losses = []
    for desirable, pi, ref, _, _ in rows:
        reward = pi - ref
        if desirable:
            losses.append(desirable_weight - desirable_weight * sigmoid(beta * (reward - z0)))
        else:
            losses.append(undesirable_weight - undesirable_weight * sigmoid(beta * (z0 - reward)))
    return losses


@given(
    rows=st.lists(row, min_size=1, max_size=5),
    beta=st.floats(0.01, 2),
    desirable_weight=st.floats(0, 3),
    undesirable_weight=st.floats(0, 3),
)
def test_matches_the_formula(labelled, rows, beta, desirable_weight, undesirable_weight):
    loss = KTO(beta=beta, desirable_weight=desirable_weight, undesirable_weight=undesirable_weight)
    actual = loss(labelled(rows)[0]).losses
    expected = formula(rows, beta, desirable_weight, undesirable_weight)
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64), rtol=1e-8, atol=1e-12)


@given(rows=st.lists(row, min_size=1, max_size=5), kl=st.floats(-50, 50))
def test_the_baseline_of_the_whole_step_takes_the_place_of_the_micro_batch_s(labelled, rows, kl):
    actual = KTO()(labelled(rows)[0], statistics={"kl": torch.tensor(kl, dtype=torch.float64)}).losses
    expected = formula(rows, 0.1, 1.0, 1.0, kl=kl)
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64), rtol=1e-8, atol=1e-12)


def test_its_statistics_are_the_log_ratios_of_mismatched_completions(labelled):
    rows = [(True, -1.0, -2.0, -3.0, -5.0), (False, -1.0, -2.0, -7.0, -4.0)]
    statistics = KTO().statistics(labelled(rows)[0])
    assert {name: value.tolist() for name, value in statistics.items()} == {"kl": [2.0, -3.0]}


def test_the_numbers_of_trl(labelled):
    # trl 0.28.0, experimental/kto/kto_trainer.py, KTOTrainer.kto_loss with beta 0.2, weights 1.5 and 0.5
    rows = [
        (True, -10.0, -12.0, -30.0, -33.0),
        (False, -9.0, -8.5, -21.0, -20.0),
        (True, -40.0, -38.0, -15.0, -16.0),
        (False, -3.0, -6.0, -25.0, -26.0),
    ]
    losses = KTO(beta=0.2, desirable_weight=1.5, undesirable_weight=0.5)(labelled(rows)[0]).losses
    assert losses.tolist() == pytest.approx(PEER, rel=1e-12)


PEER = [0.675249004031283, 0.21277874159417, 0.968484459338693, 0.299343830056226]


def test_one_row_alone_has_a_baseline_that_is_not_its_own_reward(labelled):
    (loss,) = KTO(beta=1.0)(labelled([(True, -5.0, -6.0, -9.0, -9.5)])[0]).losses
    assert loss.item() == pytest.approx(1 - sigmoid(1.0 - 0.5))


def test_an_untrained_policy_scores_half_and_is_right_half_of_the_time(labelled):
    output = KTO()(labelled([(True, -5.0, -5.0, -7.0, -7.0), (False, -4.0, -4.0, -6.0, -6.0)])[0])
    assert output.losses.tolist() == [0.5, 0.5]
    assert output.metrics["reward_accuracy"].tolist() == [0.5, 0.5]


def test_the_baseline_has_no_gradient(labelled):
    rows, leaf = labelled([(True, -5.0, -6.0, -9.0, -9.5)])
    mismatched = rows.kl_logps.clone().requires_grad_()
    rows.adopt({"kl_logps": mismatched})
    KTO()(rows).losses.sum().backward()
    assert mismatched.grad is None
    assert leaf.grad.item() < 0  # a step against it makes the desirable completion more likely


def test_metrics_tell_the_labels_apart(labelled):
    rows = [(True, -5.0, -7.0, -1.0, -1.0), (False, -5.0, -4.0, -1.0, -1.0)]
    metrics = KTO(beta=0.5)(labelled(rows)[0]).metrics
    assert metrics["reward_desirable"].nanmean().item() == 1.0
    assert metrics["reward_undesirable"].nanmean().item() == -0.5
    assert [value.isnan().tolist() for value in (metrics["reward_desirable"], metrics["reward_undesirable"])] == [
        [False, True],
        [True, False],
    ]
    assert metrics["kl"].tolist() == [0.0, 0.0]
    assert metrics["reward_accuracy"].tolist() == [1.0, 1.0]


def test_is_finite_at_the_extremes(finite_at_extremes):
    finite_at_extremes(KTO())


@pytest.mark.parametrize("beta", [0.0, -1.0, math.inf, math.nan])
def test_rejects_a_beta_that_is_not_positive(beta):
    with pytest.raises(ValueError, match=r"^beta must be > 0, got "):
        KTO(beta=beta)


@pytest.mark.parametrize("name", ["desirable_weight", "undesirable_weight"])
def test_rejects_a_negative_weight(name):
    with pytest.raises(ValueError, match=rf"^{name} must be >= 0, got -1"):
        KTO(**{name: -1.0})
