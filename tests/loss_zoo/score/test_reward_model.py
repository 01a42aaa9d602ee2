import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.testing.outputs import given_scores
from swift_loss_zoo.score.reward_model import RewardModel

score = st.floats(-20, 20)


def run(loss, chosen, rejected, margin=0.0, dtype=torch.float64):
    leaves = [torch.tensor([value], dtype=dtype, requires_grad=True) for value in (chosen, rejected)]
    margins = torch.tensor([margin], dtype=dtype)
    output = loss(given_scores(chosen_scores=leaves[0], rejected_scores=leaves[1], margins=margins))
    output.losses.sum().backward()
    return output, [leaf.grad.item() for leaf in leaves]


@given(chosen=score, rejected=score, margin=st.floats(0, 3), centre=st.floats(0, 1))
def test_matches_the_formula(chosen, rejected, margin, centre):
    output, gradient = run(RewardModel(center_rewards_coefficient=centre), chosen, rejected, margin)
    apart, level = chosen - rejected - margin, chosen + rejected
    assert output.losses.item() == pytest.approx(math.log1p(math.exp(-apart)) + centre * level**2, rel=1e-9, abs=1e-9)
    wins = 1 / (1 + math.exp(apart))
    expected = [-wins + 2 * centre * level, wins + 2 * centre * level]
    assert gradient == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_equal_scores_cost_log_two_and_count_half_right():
    output, _ = run(RewardModel(), 3.0, 3.0)
    assert output.losses.item() == pytest.approx(math.log(2))
    assert output.metrics["reward_accuracy"].item() == 0.5


def test_the_margin_of_the_metrics_is_that_of_the_scores():
    output, _ = run(RewardModel(), 3.0, 1.0, margin=5.0)
    assert output.metrics["reward_margin"].item() == 2.0
    assert output.metrics["reward_accuracy"].item() == 1.0


def test_without_centring_only_the_difference_counts():
    assert run(RewardModel(), 1.0, 0.0)[0].losses == run(RewardModel(), 101.0, 100.0)[0].losses


@pytest.mark.parametrize(("chosen", "rejected"), [(1000.0, -1000.0), (-1000.0, 1000.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_is_finite_at_extremes(chosen, rejected, dtype):
    output, gradient = run(RewardModel(center_rewards_coefficient=0.01), chosen, rejected, dtype=dtype)
    assert torch.isfinite(output.losses).all()
    assert all(map(math.isfinite, gradient))


def test_rejects_a_negative_coefficient():
    with pytest.raises(ValueError, match=r"^center_rewards_coefficient must be >= 0, got -0\.1$"):
        RewardModel(center_rewards_coefficient=-0.1)
