import math

import pytest
import torch

from swift_core.contracts.loss import building_terms
from swift_core.plugin_api import LossOutput, LossTerm
from swift_core.plugins.building import build
from swift_core.plugins.errors import PluginError
from swift_core.testing.outputs import given_pairs
from swift_loss_zoo.pair.bco_pair import BCOPair
from swift_loss_zoo.pair.chosen_nll import ChosenNLL
from swift_loss_zoo.pair.dpo import DPO
from swift_loss_zoo.pair.ipo import IPO
from swift_loss_zoo.pair.mixture import Mixture


def pairs():
    return given_pairs(
        chosen_logps=torch.tensor([-5.0, -9.0]),
        rejected_logps=torch.tensor([-6.0, -4.0]),
        reference_chosen_logps=torch.tensor([-6.0, -8.0]),
        reference_rejected_logps=torch.tensor([-5.0, -5.0]),
        chosen_lengths=torch.tensor([4, 3]),
        rejected_lengths=torch.tensor([2, 3]),
    )


def mixture(*terms):
    return build(Mixture, {"losses": [dict(term) for term in terms]})


def test_left_alone_it_is_mpo():
    mpo = 0.8 * DPO()(pairs()).losses + 0.2 * BCOPair()(pairs()).losses + ChosenNLL()(pairs()).losses
    assert torch.equal(build(Mixture, {})(pairs()).losses, mpo)


def test_terms_are_weighed_and_take_their_options():
    mixed = mixture({"name": "dpo", "weight": 0.5, "kwargs": {"beta": 0.3}}, {"name": "ipo"})
    expected = 0.5 * DPO(beta=0.3)(pairs()).losses + IPO()(pairs()).losses
    assert torch.equal(mixed(pairs()).losses, expected)


def test_a_pair_of_two_terms_by_hand(one_pair_loss):
    rpo = mixture({"name": "dpo"}, {"name": "chosen_nll", "weight": 2.0})
    assert one_pair_loss(rpo, -6, -8, -6, -8, lengths=(3, 1)) == pytest.approx(math.log(2) + 2 * 6 / 3)


def test_the_loss_of_each_term_is_logged_beside_the_metrics_of_the_first():
    metrics = mixture({"name": "dpo", "weight": 0.5}, {"name": "ipo"})(pairs()).metrics
    assert torch.equal(metrics["loss_1_dpo"], DPO()(pairs()).losses)
    assert torch.equal(metrics["loss_2_ipo"], IPO()(pairs()).losses)
    assert torch.equal(metrics["reward_margin"], DPO()(pairs()).metrics["reward_margin"])


def test_the_gradient_is_the_sum_of_the_gradients(one_pair_gradient):
    numbers, named = (-6, -8, -5, -8), {"lengths": (3, 2)}
    mixed = one_pair_gradient(mixture({"name": "dpo", "weight": 0.5}, {"name": "chosen_nll"}), *numbers, **named)
    dpo, nll = (one_pair_gradient(loss, *numbers, **named) for loss in (DPO(), ChosenNLL()))
    assert mixed == pytest.approx([0.5 * a + b for a, b in zip(dpo, nll, strict=True)])


def test_is_finite_at_extremes(finite_at_extremes):
    finite_at_extremes(build(Mixture, {}))


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ([], "losses must name one loss or more, got an empty list"),
        ([{"name": "dpo", "weight": 0}], "losses must have a weight > 0 among them, got only 0"),
        ([{"name": "dpo", "weight": -1.0}], "weight must be >= 0, got -1.0"),
        ([{"name": "simpoo"}], "no loss named 'simpoo'. Did you mean 'simpo'?"),
        ([{"name": "dpo", "kwargs": {"bta": 1.0}}], "there is no option 'bta'"),
        ([{"weight": 1.0}], "the option 'losses.0.name' is required"),
    ],
)
def test_refuses_wrong_terms(losses, message):
    with pytest.raises(PluginError) as caught:
        build(Mixture, {"losses": losses})
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "value", [torch.zeros(()), LossOutput(torch.zeros(2), weights=torch.ones(2))], ids=["a mean", "weighted pairs"]
)
def test_a_loss_that_gives_something_else_than_a_loss_per_pair_cannot_be_mixed(value):
    with building_terms(lambda term: lambda pairs: value):
        mixed = Mixture(losses=[LossTerm(name="odd")])
    with pytest.raises(ValueError, match=r"^the loss 'odd' does not return one unweighted loss per pair: it cannot be"):
        mixed(pairs())


def test_names_need_core_to_look_them_up():
    with pytest.raises(ValueError, match=r"^the loss 'dpo' is named, and names are looked up by core"):
        Mixture(losses=[LossTerm(name="dpo")])
