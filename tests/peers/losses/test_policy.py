"""Losses on sampled answers against TRL 1.16's GRPOTrainer, RLOOTrainer and GMPOTrainer: values and gradients."""

import types

import pytest
import torch

from swift_loss_zoo.advantages import group_relative, leave_one_out
from swift_loss_zoo.policy.bnpo import BNPO
from swift_loss_zoo.policy.cispo import CISPO
from swift_loss_zoo.policy.dapo import DAPO
from swift_loss_zoo.policy.dr_grpo import DrGRPO
from swift_loss_zoo.policy.gmpo import GMPO
from swift_loss_zoo.policy.grpo import GRPO
from swift_loss_zoo.policy.gspo import GSPO
from swift_loss_zoo.policy.luspo import LUSPO
from swift_loss_zoo.policy.rloo import RLOO
from swift_loss_zoo.policy.sapo import SAPO
from swift_loss_zoo.policy.vespo import VESPO

CLIPPED = {"grpo": GRPO, "bnpo": BNPO, "dapo": DAPO, "dr_grpo": DrGRPO}

OPTIONS = [
    {"beta": 0.0},
    {"beta": 0.0, "epsilon_low": 0.1, "epsilon_high": 0.3},
    {"beta": 0.0, "delta": 1.5},
    {"beta": 0.04},
    {"beta": 0.5, "delta": 2.0, "epsilon_high": 0.28},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("name", list(CLIPPED))
def test_clipped_tokens(samples, same, name, options):
    loss = CLIPPED[name](**{"epsilon_low": 0.2, "epsilon_high": 0.2} | options)
    same(samples.ours(loss), samples.grpo_trainer(name, **options), [samples.logps])


@pytest.mark.parametrize("name", list(CLIPPED))
def test_the_divergence_times_the_ratio_is_trls_default(samples, same, name):
    loss = CLIPPED[name](epsilon_low=0.2, epsilon_high=0.2, beta=0.1, unbiased_kl=True)
    theirs = samples.grpo_trainer(name, beta=0.1, use_bias_correction_kl=True)
    same(samples.ours(loss), theirs, [samples.logps])


@pytest.mark.parametrize("bound", [1.0, 1.3, 5.0])
def test_cispo_whose_epsilon_high_is_one_less(samples, same, bound):
    theirs = samples.grpo_trainer("cispo", epsilon_high=bound)
    same(samples.ours(CISPO(epsilon_high=bound - 1)), theirs, [samples.logps])


@pytest.mark.parametrize("temperatures", [(1.0, 1.05), (0.5, 3.0)])
def test_sapo_takes_its_temperature_by_the_sign_of_the_advantage(samples, same, temperatures):
    positive, negative = temperatures
    theirs = samples.grpo_trainer("sapo", sapo_temperature_pos=positive, sapo_temperature_neg=negative)
    ours = samples.ours(SAPO(tau_positive=positive, tau_negative=negative))
    same(ours, theirs, [samples.logps], 1e-6)  # TRL's temperatures are in float32


BOUNDS = [(3e-4, 4e-4), (0.1, 0.2)]


@pytest.mark.parametrize("bounds", BOUNDS)
def test_gspo(samples, same, bounds):
    low, high = bounds
    options = {"importance_sampling_level": "sequence", "epsilon_low": low, "epsilon_high": high}
    theirs = samples.grpo_trainer("grpo", **options)
    same(samples.ours(GSPO(epsilon_low=low, epsilon_high=high)), theirs, [samples.logps])


HELD = {
    "cispo": (CISPO(epsilon_high=4.0, beta=0.3), {"epsilon_high": 5.0}),
    "sapo": (SAPO(beta=0.3), {}),
    "grpo": (
        GSPO(epsilon_low=0.2, epsilon_high=0.2, beta=0.3),
        {"importance_sampling_level": "sequence", "epsilon_low": 0.2, "epsilon_high": 0.2},
    ),
}


@pytest.mark.parametrize("name", list(HELD))
def test_the_divergence_of_losses_whose_papers_have_none(samples, same, name):
    loss, options = HELD[name]
    same(samples.ours(loss), samples.grpo_trainer(name, beta=0.3, **options), [samples.logps], 1e-6)


@pytest.mark.parametrize("bounds", BOUNDS)
def test_luspo(samples, same, bounds):
    low, high = bounds
    options = {"importance_sampling_level": "sequence", "epsilon_low": low, "epsilon_high": high}
    theirs = samples.grpo_trainer("luspo", **options)
    same(samples.ours(LUSPO(epsilon_low=low, epsilon_high=high)), theirs, [samples.logps])


@pytest.mark.parametrize("shapes", [(2.0, 3.0, 3.0, 2.0), (1.0, 1.0, 0.5, 4.0)])
def test_vespo(samples, same, shapes):
    names = ("k_pos", "lambda_pos", "k_neg", "lambda_neg")
    theirs = samples.grpo_trainer("vespo", **{f"vespo_{x}": y for x, y in zip(names, shapes, strict=True)})
    ours = ("k_positive", "lambda_positive", "k_negative", "lambda_negative")
    same(samples.ours(VESPO(**dict(zip(ours, shapes, strict=True)))), theirs, [samples.logps])


@pytest.mark.parametrize("bounds", [(0.4, 0.4), (0.1, 0.6)])
def test_gmpo(samples, same, bounds):
    from trl.experimental.gmpo.gmpo_trainer import GMPOTrainer

    theirs = samples.grpo_trainer("grpo", trainer=GMPOTrainer, epsilon_low=bounds[0], epsilon_high=bounds[1])
    ours = samples.ours(GMPO(epsilon_low=bounds[0], epsilon_high=bounds[1]))
    empty = samples.advantages[~samples.mask.any(-1)].sum() / len(samples.advantages)
    same(ours, theirs + empty, [samples.logps])  # TRL counts an empty answer with -A, without gradient


@pytest.mark.parametrize("epsilon", [0.1, 0.2, 0.9])
def test_rloo_with_a_ratio(samples, same, trainer_like, epsilon):
    theirs = rloo_trainer(samples, trainer_like, epsilon)
    empty = samples.advantages[~samples.mask.any(-1)].sum() / len(samples.advantages)
    same(samples.ours(RLOO(epsilon=epsilon)), theirs + empty, [samples.logps])


def test_plain_rloo_has_its_gradient_on_fresh_samples(samples, trainer_like):
    samples.old_logps = samples.logps.detach()
    losses = samples.ours(RLOO()), rloo_trainer(samples, trainer_like, 0.2)
    ours, theirs = (torch.autograd.grad(loss, samples.logps)[0] for loss in losses)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def rloo_trainer(samples, trainer_like, epsilon):
    """Return TRL's loss of `RLOOTrainer`."""
    from trl.trainer.rloo_trainer import RLOOTrainer

    trainer = trainer_like(
        epsilon_low=epsilon,
        epsilon_high=epsilon,
        beta=0.0,
        args=types.SimpleNamespace(delta=None),
        _get_per_token_logps_and_entropies=lambda *_, **__: (samples.logps, torch.zeros_like(samples.logps), None),
    )
    inputs = samples.inputs() | {"old_logps": (samples.old_logps * samples.mask).sum(-1)}
    return RLOOTrainer._compute_loss(trainer, None, inputs)


def test_advantages():
    """By the formulas in TRL's trainers, which have no function for them."""
    rewards = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mean, deviation = rewards.mean(1, keepdim=True), rewards.std(1, keepdim=True)
    torch.testing.assert_close(group_relative(rewards), (rewards - mean) / (deviation + 1e-4))
    baseline = (rewards.sum(1, keepdim=True) - rewards) / 3
    torch.testing.assert_close(leave_one_out(rewards), rewards - baseline)
