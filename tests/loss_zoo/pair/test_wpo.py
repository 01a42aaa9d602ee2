import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.testing.outputs import given_pairs
from swift_loss_zoo.pair.wpo import WPO

VOCABULARY = 3
logits = st.lists(st.lists(st.floats(-8, 8), min_size=VOCABULARY, max_size=VOCABULARY), max_size=4)


def side(name, rows, reference, dtype):
    """Return the values of one completion that always takes the first token of the vocabulary, padded by one place."""
    given_logits = torch.zeros(1, len(rows) + 1, VOCABULARY, dtype=dtype)
    if rows:
        given_logits[0, : len(rows)] = torch.tensor(rows, dtype=dtype)
    given_logits.requires_grad_()
    is_token = torch.arange(len(rows) + 1) < len(rows)
    token_logps = given_logits.log_softmax(-1)[..., 0] * is_token
    values = {
        f"{name}_token_logps": token_logps,
        f"{name}_log_sum_p2": (2 * given_logits.detach().log_softmax(-1)).logsumexp(-1) * is_token,
        f"{name}_logps": token_logps.sum(-1),
        f"reference_{name}_logps": torch.tensor([reference], dtype=dtype),
        f"{name}_lengths": torch.tensor([len(rows)]),
    }
    return values, given_logits


def evaluate(wpo, chosen, rejected, references=(0.0, 0.0), dtype=torch.float64):
    values, leaf = side("chosen", chosen, references[0], dtype)
    others, _ = side("rejected", rejected, references[1], dtype)
    return wpo(given_pairs(**values, **others)), values | {"chosen_logits": leaf}


def formula(beta, chosen, rejected, references):
    """Return the paper's loss, in plain Python."""
    sums, weights = [], []
    for rows in (chosen, rejected):
        logps, aligned = [], []
        for row in rows:
            total = sum(math.exp(logit) for logit in row)
            probabilities = [math.exp(logit) / total for logit in row]
            logps.append(math.log(probabilities[0]))
            aligned.append(math.log(probabilities[0] / sum(p**2 for p in probabilities)))
        sums.append(sum(logps))
        weights.append(math.exp(sum(aligned) / max(len(aligned), 1)))
    x = beta * ((sums[0] - references[0]) - (sums[1] - references[1]))
    return weights[0] * weights[1] * (max(-x, 0) + math.log1p(math.exp(-abs(x))))


@given(chosen=logits, rejected=logits, reference=st.floats(-20, 0), beta=st.floats(0.01, 2))
def test_matches_the_formula(chosen, rejected, reference, beta):
    output, _ = evaluate(WPO(beta=beta), chosen, rejected, (reference, -1.0))
    expected = formula(beta, chosen, rejected, (reference, -1.0))
    assert output.losses.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_policy_that_is_even_over_the_vocabulary_weighs_one():
    output, _ = evaluate(WPO(), [[0.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]])
    assert output.metrics["pair_weight"].item() == pytest.approx(1.0)
    assert output.losses.item() == pytest.approx(math.log(2))


def test_a_completion_that_the_policy_would_not_write_weighs_little():
    likely, _ = evaluate(WPO(), [[2.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]])
    unlikely, _ = evaluate(WPO(), [[-4.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]])
    assert unlikely.metrics["pair_weight"].item() < 0.05 < 1.0 < likely.metrics["pair_weight"].item()


def test_the_weight_has_no_gradient():
    output, values = evaluate(WPO(beta=0.3), [[1.0, 0.0, -1.0]], [[0.5, 0.0, 0.0]])
    (gradient,) = torch.autograd.grad(output.losses.sum(), values["chosen_logps"], retain_graph=True)
    margin = output.metrics["reward_margin"].item()
    expected = -0.3 * output.metrics["pair_weight"].item() / (1 + math.exp(margin))
    assert gradient.item() == pytest.approx(expected)
    output.losses.sum().backward()
    by_logits = values["chosen_logits"].grad[0, 0]
    probabilities = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64).softmax(-1)
    assert by_logits.tolist() == pytest.approx((expected * (torch.tensor([1.0, 0, 0]) - probabilities)).tolist())


@pytest.mark.parametrize("chosen", [[[-1000.0, 0.0, 0.0]], [[1000.0, 0.0, 0.0]], []])
@pytest.mark.parametrize("reference", [0.0, -1000.0])
def test_is_finite_at_extremes(chosen, reference):
    output, values = evaluate(WPO(), chosen, [[0.0, 0.0, 0.0]], (reference, 0.0), dtype=torch.float32)
    output.losses.sum().backward()
    assert torch.isfinite(output.losses).all()
    assert torch.isfinite(values["chosen_logits"].grad).all()


def test_rejects_a_beta_that_is_not_positive():
    with pytest.raises(ValueError, match=r"^beta must be > 0, got 0\.0$"):
        WPO(beta=0.0)
