"""What other implementations fell into, one test each."""

import math

import pytest
import torch

from swift_core.plugins.building import OptionError, build
from swift_core.testing.outputs import given_pairs
from swift_loss_zoo.pair.alpha_po import AlphaPO
from swift_loss_zoo.pair.chosen_nll import ChosenNLL
from swift_loss_zoo.pair.discopop import DiscoPOP
from swift_loss_zoo.pair.dpo import DPO
from swift_loss_zoo.pair.mixture import Mixture
from swift_loss_zoo.pair.orpo import ORPO
from swift_loss_zoo.pair.simpo import SimPO


def batch(chosen, rejected, lengths, dtype=torch.float32):
    """Return the outputs of some pairs under a reference that says 0, and the two leaves."""
    leaves = [torch.tensor(sums, dtype=dtype, requires_grad=True) for sums in (chosen, rejected)]
    values = {}
    for name, leaf, count in zip(("chosen", "rejected"), leaves, zip(*lengths, strict=True), strict=True):
        values |= {
            f"{name}_logps": leaf,
            f"{name}_lengths": torch.tensor(count),
            f"{name}_token_logps": leaf[:, None],
            f"{name}_log_sum_p2": torch.zeros(len(leaf), 1, dtype=dtype),
            f"reference_{name}_logps": torch.zeros_like(leaf),
            f"reference_{name}_token_logps": torch.zeros(len(leaf), 1, dtype=dtype),
        }
    return given_pairs(**values), leaves


def value_and_gradients(loss, *numbers, **named):
    outputs, leaves = batch(*numbers, **named)
    losses = loss(outputs).losses
    gradients = torch.autograd.grad(losses.sum(), leaves, allow_unused=True)
    return losses.detach(), [gradient for gradient in gradients if gradient is not None]


def assert_finite(losses, gradients):
    assert torch.isfinite(torch.cat([losses, *gradients])).all()


@pytest.mark.parametrize("beside", ["hinge", "chosen_nll"])
def test_wpo_can_be_mixed_with_hinge_and_with_the_likelihood(beside):
    terms = [{"name": "wpo"}, {"name": beside}]
    assert_finite(*value_and_gradients(build(Mixture, {"losses": terms}), [-3.0, -4.0], [-5.0, -2.0], [(2, 2), (2, 1)]))


@pytest.mark.parametrize("log_ratio", [-89.0, -200.0, -1000.0])
def test_forward_kl_of_an_answer_that_became_unlikely(log_ratio):
    losses, gradients = value_and_gradients(DPO(f_divergence="forward_kl"), [log_ratio], [0.0], [(3, 3)])
    assert_finite(losses, gradients)
    assert gradients[0].item() < 0


@pytest.mark.parametrize("margin", [-89.0, -1000.0])
def test_discopop_at_a_lost_pair(margin):
    losses, gradients = value_and_gradients(DiscoPOP(beta=1.0), [margin], [0.0], [(3, 3)])
    assert_finite(losses, gradients)
    assert losses.item() == pytest.approx(-margin)


def test_alpha_po_at_an_answer_that_is_unlikely_per_token():
    assert_finite(*value_and_gradients(AlphaPO(alpha=0.5), [-1000.0], [-1.0], [(1, 1)]))


@pytest.mark.parametrize("logp", [0.0, -1e-8, -1e-30])
def test_orpo_at_an_answer_that_is_certain(logp):
    assert_finite(*value_and_gradients(ORPO(), [logp], [-1.0], [(1, 1)]))
    assert_finite(*value_and_gradients(ORPO(), [-1.0], [logp], [(1, 1)]))


@pytest.mark.parametrize("loss", [SimPO(), ORPO(), ChosenNLL()])
def test_an_empty_answer_leaves_the_others_of_the_batch_alone(loss):
    losses, gradients = value_and_gradients(loss, [0.0, -4.0], [-3.0, -5.0], [(0, 2), (2, 2)])
    alone, _ = value_and_gradients(loss, [-4.0], [-5.0], [(2, 2)])
    assert_finite(losses, gradients)
    assert losses[1] == alone[0]


def test_the_alpha_divergence_in_float64():
    loss = DPO(f_divergence="alpha", alpha=0.3, beta=0.5)
    losses, _ = value_and_gradients(loss, [-1.0], [-2.0], [(1, 1)], dtype=torch.float64)
    reward = lambda d: (1 - math.exp(-0.3 * d)) / 0.3  # noqa: E731 - the formula on one line
    assert losses.item() == pytest.approx(math.log1p(math.exp(-0.5 * (reward(-1) - reward(-2)))))


def test_the_likelihood_term_does_not_depend_on_the_split_into_micro_batches():
    whole, _ = value_and_gradients(ChosenNLL(), [-3.0, -8.0], [-1.0, -1.0], [(1, 1), (4, 1)])
    parts = [value_and_gradients(ChosenNLL(), [c], [-1.0], [(n, 1)])[0] for c, n in ((-3.0, 1), (-8.0, 4))]
    assert whole.mean() == torch.cat(parts).mean() == 2.5


def test_label_smoothing_of_dpo_is_heeded():
    plain, smooth = (
        value_and_gradients(DPO(label_smoothing=share), [-1.0], [-5.0], [(1, 1)])[0].item() for share in (0.0, 0.2)
    )
    assert smooth - plain == pytest.approx(0.2 * 0.1 * 4, rel=1e-5)


@pytest.mark.parametrize("option", ["label_smothing", "padding_free", "rpo_alpha", "use_weighting"])
def test_an_option_that_a_loss_does_not_have_is_an_error(option):
    with pytest.raises(OptionError, match=option):
        build(DPO, {option: 0.1})
