import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_loss_zoo.pair.cal_dpo import CalDPO

logp = st.floats(-200, 0)
length = st.integers(0, 300)


def softplus(x):
    return max(x, 0) + math.log1p(math.exp(-abs(x)))


@given(c=logp, r=logp, ref_c=logp, ref_r=logp, beta=st.floats(0.01, 2), calibration=st.floats(0, 2))
def test_matches_the_formula(one_pair_loss, c, r, ref_c, ref_r, beta, calibration):
    d_c, d_r, target = c - ref_c, r - ref_r, 1 / (2 * beta)
    expected = softplus(-(d_c - d_r)) + calibration * ((d_c - target) ** 2 + (d_r + target) ** 2)
    value = one_pair_loss(CalDPO(beta=beta, calibration=calibration), c, r, ref_c, ref_r)
    assert value == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_an_untrained_policy_pays_both_targets(one_pair_loss):
    assert one_pair_loss(CalDPO(beta=0.5), -5, -7, -5, -7) == pytest.approx(math.log(2) + 1 + 1)


def test_at_the_targets_only_the_comparison_is_left(one_pair_loss):
    assert one_pair_loss(CalDPO(beta=0.5), -4, -8, -5, -7) == pytest.approx(0.126928)  # log(1 + exp(-2))


def test_a_chosen_completion_past_its_target_is_pulled_back(one_pair_gradient):
    assert one_pair_gradient(CalDPO(beta=0.5), -2, -8, -5, -7)[0] > 0
    assert one_pair_gradient(CalDPO(beta=0.5), -5, -8, -5, -7)[0] < 0


def test_is_finite_at_extremes(finite_at_extremes):
    finite_at_extremes(CalDPO())


@pytest.mark.parametrize(
    ("options", "message"),
    [({"beta": 0.0}, r"beta must be > 0, got 0\.0"), ({"calibration": -1.0}, r"calibration must be >= 0, got -1\.0")],
)
def test_rejects_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        CalDPO(**options)
