"""Losses on pairs against TRL 1.16's DPOTrainer, CPOTrainer, ORPOTrainer and TPOTrainer: values and gradients."""

import types

import pytest
import torch

from swift_core.plugins.building import build
from swift_loss_zoo.pair.alpha_po import AlphaPO
from swift_loss_zoo.pair.aot import AOT
from swift_loss_zoo.pair.aot_unpaired import AOTUnpaired
from swift_loss_zoo.pair.apo_down import APODown
from swift_loss_zoo.pair.apo_zero import APOZero
from swift_loss_zoo.pair.bco_pair import BCOPair
from swift_loss_zoo.pair.cpo import CPO
from swift_loss_zoo.pair.discopop import DiscoPOP
from swift_loss_zoo.pair.dpo import DPO
from swift_loss_zoo.pair.exo import EXO
from swift_loss_zoo.pair.hinge import Hinge
from swift_loss_zoo.pair.ipo import IPO
from swift_loss_zoo.pair.ld_dpo import LDDPO
from swift_loss_zoo.pair.mixture import Mixture
from swift_loss_zoo.pair.nca import NCA
from swift_loss_zoo.pair.orpo import ORPO
from swift_loss_zoo.pair.robust_dpo import RobustDPO
from swift_loss_zoo.pair.sigmoid_norm import SigmoidNorm
from swift_loss_zoo.pair.simpo import SimPO
from swift_loss_zoo.pair.sppo_hard import SPPOHard
from swift_loss_zoo.pair.tpo import TPO
from swift_loss_zoo.pair.tpo_l import TPOL
from swift_loss_zoo.pair.wpo import WPO

PLAIN = {
    "sigmoid": DPO,
    "hinge": Hinge,
    "ipo": IPO,
    "sigmoid_norm": SigmoidNorm,
    "nca_pair": NCA,
    "bco_pair": BCOPair,
    "sppo_hard": SPPOHard,
    "apo_zero": APOZero,
    "apo_down": APODown,
}
"""TRL's losses with a beta and nothing else."""

SMOOTHED = {"exo_pair": EXO, "robust": RobustDPO, "aot": AOT, "aot_unpaired": AOTUnpaired}


@pytest.mark.parametrize("beta", [0.05, 0.1, 0.7, 2.0])
@pytest.mark.parametrize("name", list(PLAIN))
def test_plain_losses(pairs, same, name, beta):
    same(pairs.ours(PLAIN[name](beta=beta)), pairs.dpo_trainer([name], beta=beta), [pairs.logits])


@pytest.mark.parametrize("beta", [0.1, 1.0])
@pytest.mark.parametrize("smoothing", [1e-3, 0.1, 0.4])
@pytest.mark.parametrize("name", list(SMOOTHED))
def test_smoothed_losses(pairs, same, name, smoothing, beta):
    theirs = pairs.dpo_trainer([name], beta=beta, label_smoothing=smoothing)
    tolerance = 1e-7 if name == "exo_pair" else 1e-9  # TRL keeps its logarithms of the labels in float32
    same(pairs.ours(SMOOTHED[name](beta=beta, label_smoothing=smoothing)), theirs, [pairs.logits], tolerance)


@pytest.mark.parametrize("tau", [0.05, 0.5, 1.0])
def test_discopop(pairs, same, tau):
    theirs = pairs.dpo_trainer(["discopop"], discopop_tau=tau)
    same(pairs.ours(DiscoPOP(tau=tau)), theirs, [pairs.logits])


@pytest.mark.parametrize("divergence", ["forward_kl", "js"])
def test_divergences(pairs, same, divergence):
    theirs = pairs.dpo_trainer(["sigmoid"], f_divergence_type="js_divergence" if divergence == "js" else divergence)
    same(pairs.ours(DPO(f_divergence=divergence)), theirs, [pairs.logits])


@pytest.mark.parametrize("coefficient", [0.1, 0.5, 0.9])
def test_the_alpha_divergence_whose_coefficient_is_one_less_alpha(pairs, same, coefficient):
    batch = type(pairs)(7, [(3, 5, 2), (7, 1, 4)], torch.float32)  # TRL's has no float64
    options = {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": coefficient}
    ours = batch.ours(DPO(f_divergence="alpha", alpha=1 - coefficient))
    same(ours, batch.dpo_trainer(["sigmoid"], **options), [batch.logits], 1e-5)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_ld_dpo_weighs_policy_and_reference(pairs, same, alpha):
    theirs = pairs.dpo_trainer(["sigmoid"], ld_alpha=alpha)
    same(pairs.ours(LDDPO(ld_alpha=alpha)), theirs, [pairs.logits])


def test_wpo(pairs, same):
    same(pairs.ours(WPO()), pairs.dpo_trainer(["sigmoid"], use_weighting=True), [pairs.logits])


def test_mpo_but_for_the_mean_of_its_likelihood_term(pairs, same):
    terms = [{"name": "dpo", "weight": 0.8}, {"name": "bco_pair", "weight": 0.2}]
    theirs = pairs.dpo_trainer(["sigmoid", "bco_pair"], loss_weights=[0.8, 0.2])
    same(pairs.ours(build(Mixture, {"losses": terms})), theirs, [pairs.logits])


def test_mpo_as_it_is_where_all_chosen_answers_are_equally_long(pairs, same):
    batch = type(pairs)(3, [(4, 2, 1), (4, 6, 1), (4, 1, 1)])
    theirs = batch.dpo_trainer(["sigmoid", "bco_pair", "sft"], loss_weights=[0.8, 0.2, 1.0])
    same(batch.ours(build(Mixture, {})), theirs, [batch.logits])


def likelihood(batch, side, *, per_token):
    """Return what TRL adds: the mean over all tokens of the micro-batch; or ours, the mean of each answer."""
    logps = batch.token_logps(batch.logits)[side]
    return -logps.sum() / batch.lengths[side].sum() if per_token else -(logps.sum(-1) / batch.lengths[side]).mean()


def cpo_loss(batch, loss_type, *, means, **options):
    """Return TRL's CPO loss without its likelihood term."""
    from trl.experimental.cpo.cpo_trainer import CPOTrainer

    accelerator = types.SimpleNamespace(device=torch.device("cpu"))
    attributes = {"alpha": 0.0, "beta": 0.1, "label_smoothing": 0.0, "simpo_gamma": 0.5} | options
    logps = batch.token_logps(batch.logits).sum(-1) / (batch.lengths if means else 1)
    trainer = types.SimpleNamespace(accelerator=accelerator, loss_type=loss_type, **attributes)
    return CPOTrainer.cpo_loss(trainer, logps[0], logps[1])[0].mean()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_cpo(pairs, same, beta, smoothing):
    theirs = cpo_loss(pairs, "sigmoid", means=False, beta=beta, label_smoothing=smoothing)
    same(pairs.ours(CPO(beta=beta, alpha=0.0, label_smoothing=smoothing)), theirs, [pairs.logits])
    ours = pairs.ours(CPO(beta=beta, alpha=0.7, label_smoothing=smoothing, normalise=True))
    same(ours, theirs + 0.7 * likelihood(pairs, 0, per_token=False), [pairs.logits])


@pytest.mark.parametrize("preference", ["hinge", "ipo"])
def test_cpo_with_other_preferences(pairs, same, preference):
    theirs = cpo_loss(pairs, preference, means=preference == "ipo")
    same(pairs.ours(CPO(alpha=0.0, preference=preference)), theirs, [pairs.logits])


@pytest.mark.parametrize(("beta", "gamma"), [(0.1, 0.5), (2.0, 1.0), (10.0, 5.0)])
def test_simpo(pairs, same, beta, gamma):
    theirs = cpo_loss(pairs, "simpo", means=True, beta=beta, simpo_gamma=gamma)
    same(pairs.ours(SimPO(beta=beta, gamma=gamma)), theirs, [pairs.logits])


@pytest.mark.parametrize("alpha", [-0.5, 0.1, 0.5])
def test_alpha_po(pairs, same, alpha):
    theirs = cpo_loss(pairs, "simpo", means=True, beta=2.0, simpo_gamma=1.0, alpha=alpha)
    same(pairs.ours(AlphaPO(alpha=alpha, beta=2.0, gamma=1.0)), theirs, [pairs.logits])


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_orpo_but_for_the_likelihood_of_the_prompt(pairs, same, beta):
    from trl.experimental.orpo.orpo_trainer import ORPOTrainer

    means = pairs.token_logps(pairs.logits).sum(-1) / pairs.lengths
    trainer = types.SimpleNamespace(beta=beta, accelerator=types.SimpleNamespace(device=torch.device("cpu")))
    losses = ORPOTrainer.odds_ratio_loss(trainer, means[0], means[1])[0]
    theirs = likelihood(pairs, 0, per_token=False) - losses.mean()
    same(pairs.ours(ORPO(beta=beta)), theirs, [pairs.logits], 1e-5)  # TRL's is in float32


def tpo_trainer(batch, loss_type, like, **options):
    from trl.experimental.tpo.tpo_trainer import TPOTrainer

    num_branches = 3 if options["tpo_alpha"] else 2
    logits = torch.cat([*batch.logits[:num_branches]])
    ids = torch.nn.functional.pad(torch.cat([*batch.ids[:num_branches]]), (1, 0))
    mask = torch.nn.functional.pad(torch.cat([*batch.mask[:num_branches]]).long(), (1, 0))
    outputs = types.SimpleNamespace(logits=torch.nn.functional.pad(logits, (0, 0, 0, 1)))
    trainer = like(loss_type=loss_type, **options)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "completion_mask": mask}
    return TPOTrainer._compute_loss(trainer, lambda **_: outputs, inputs, False)


@pytest.mark.parametrize("loss_type", ["sigmoid", "hinge", "ipo", "tpo-l"])
@pytest.mark.parametrize("alpha", [0.0, 0.7])
def test_tpo(pairs, same, trainer_like, loss_type, alpha):
    options = {"beta": 0.3, "tpo_alpha": alpha, "tpo_l_gamma": 0.5, "label_smoothing": 0.0}
    theirs = tpo_trainer(pairs, loss_type, trainer_like, **options)
    loss = TPOL(beta=0.3, gamma=0.5, alpha=alpha) if loss_type == "tpo-l" else TPO(
        beta=0.3, alpha=alpha, preference=loss_type
    )  # fmt: skip
    means = [likelihood(pairs, 2, per_token=per_token) for per_token in (True, False)]
    same(pairs.ours(loss) + alpha * (means[0] - means[1]), theirs, [pairs.logits])
