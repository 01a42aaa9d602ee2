"""The divergence from the reference: each estimator by its formula, and what its mean and its gradient are."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.testing.outputs import given_policy
from swift_loss_zoo.policy.bnpo import BNPO
from swift_loss_zoo.policy.cispo import CISPO
from swift_loss_zoo.policy.dapo import DAPO
from swift_loss_zoo.policy.dr_grpo import DrGRPO
from swift_loss_zoo.policy.grpo import GRPO
from swift_loss_zoo.policy.gspo import GSPO
from swift_loss_zoo.policy.rloo import RLOO
from swift_loss_zoo.policy.sapo import SAPO

FORMULAS = {
    "k1": lambda new, ref: new - ref,
    "k2": lambda new, ref: (new - ref) ** 2 / 2,
    "k3": lambda new, ref: math.exp(ref - new) - (ref - new) - 1,
}


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("name", FORMULAS)
@given(seed=st.integers(0, 2**31), beta=st.floats(0.01, 1))
def test_the_loss_adds_the_estimate_of_each_token(make_batch, losses_and_weights, name, unbiased, seed, beta):
    if name == "k1" and not unbiased:
        return  # refused
    batch = make_batch(seed, [3, 1, 4])
    options = {"beta": beta, "kl_estimator": name, "unbiased_kl": unbiased}
    plain, _ = losses_and_weights(GRPO(beta=0.0), batch)
    losses, _ = losses_and_weights(GRPO(**options), batch)
    for row, length in enumerate(batch.lengths):
        estimates = [FORMULAS[name](new, ref) * (ratio if unbiased else 1) for ratio, _, new, ref in batch.tokens(row)]
        assert losses[row] - plain[row] == pytest.approx(beta * sum(estimates) / length, rel=1e-8, abs=1e-8)
        told = GRPO(**options)(batch.outputs()).metrics["kl"][row].item()
        assert told == pytest.approx(sum(estimates) / length, rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("loss", [CISPO, GSPO, SAPO])
@given(seed=st.integers(0, 2**31), beta=st.floats(0.01, 1))
def test_losses_whose_papers_have_no_reference_add_the_mean_of_each_answer(
    make_batch, losses_and_weights, loss, unbiased, seed, beta
):
    batch = make_batch(seed, [3, 1, 4])
    (plain, weights), (losses, held_weights) = (
        losses_and_weights(made, batch) for made in (loss(), loss(beta=beta, unbiased_kl=unbiased))
    )
    assert (weights is None) == (held_weights is None)
    assert weights is None or list(weights) == list(held_weights)
    for row, length in enumerate(batch.lengths):
        estimates = [FORMULAS["k3"](new, ref) * (ratio if unbiased else 1) for ratio, _, new, ref in batch.tokens(row)]
        assert losses[row] - plain[row] == pytest.approx(beta * sum(estimates) / length, rel=1e-8, abs=1e-8)
    assert (loss().needs_reference, loss(beta=beta).needs_reference) == (False, True)


@pytest.mark.parametrize("loss", [GRPO, DAPO, DrGRPO, BNPO, CISPO, GSPO, SAPO])
def test_every_loss_with_a_reference_has_the_choice(make_batch, loss):
    batch = make_batch(0, [3, 1, 4])
    values = [
        loss(beta=0.3, unbiased_kl=True, kl_estimator=name)(batch.outputs()).metrics["kl"].tolist() for name in FORMULAS
    ]
    assert values[0] != values[1] != values[2]


def means_over_all_tokens(name, unbiased):
    """Return mean and gradient of an estimate over every token that may be drawn, and those of the divergence."""
    generator = torch.Generator().manual_seed(0)
    logits, reference = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    logits.requires_grad_()
    logps, held = logits.log_softmax(0), reference.log_softmax(0)
    policy = given_policy(
        8,
        logps=logps[:, None],
        old_logps=logps.detach()[:, None],
        reference_logps=held[:, None],
        advantages=torch.zeros(5, 1, dtype=torch.float64),
        mask=torch.ones(5, 1, dtype=torch.bool),
    )
    loss = GRPO(beta=1.0, kl_estimator=name, unbiased_kl=unbiased)
    mean = (logps.detach().exp() * loss(policy).losses).sum()
    divergence = (logps.exp() * (logps - held)).sum()
    gradients = [torch.autograd.grad(value, logits, retain_graph=True)[0] for value in (mean, divergence)]
    return mean.item(), gradients[0], divergence.item(), gradients[1]


@pytest.mark.parametrize(
    ("name", "unbiased", "value_is_right", "gradient_is_right"),
    [
        ("k1", True, True, True),
        ("k2", False, False, True),
        ("k3", False, True, False),
        ("k3", True, True, True),
    ],
)
def test_what_has_no_bias_over_the_tokens_that_may_be_drawn(name, unbiased, value_is_right, gradient_is_right):
    mean, gradient, divergence, expected = means_over_all_tokens(name, unbiased)
    assert (mean == pytest.approx(divergence, rel=1e-9)) is value_is_right
    assert torch.allclose(gradient, expected, rtol=1e-9, atol=1e-12) is gradient_is_right


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kl_estimator": "k4"}, "kl_estimator must be one of k1, k2, k3, got 'k4'"),
        ({"kl_estimator": "k2", "beta": 0.0}, "kl_estimator has no effect with beta: 0.0"),
        ({"kl_estimator": "k1"}, "k1 has no gradient in the mean: add unbiased_kl: true"),
    ],
)
def test_what_would_do_nothing_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        GRPO(**options)


@pytest.mark.parametrize("options", [{"kl_estimator": "k2"}, {"kl_estimator": "k1", "unbiased_kl": True}])
def test_it_is_finite_at_extremes(finite_at_extremes, options):
    finite_at_extremes(GRPO(**options))


def test_rloo_tells_the_share_of_completions_that_the_clip_takes(make_batch):
    batch = make_batch(3, [3, 1, 4, 2])
    clipped = RLOO(epsilon=0.2)(batch.outputs()).metrics["clipped"].tolist()
    expected = []
    for row in range(4):
        ratio, advantage = math.prod(r for r, *_ in batch.tokens(row)), batch.tokens(row)[0][1]
        expected.append(float((ratio > 1.2 and advantage > 0) or (ratio < 0.8 and advantage < 0)))
    assert clipped == expected
    assert 0 < sum(expected) < 4
