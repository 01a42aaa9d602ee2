import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from swift_core.testing.outputs import given_steps
from swift_loss_zoo.score.prm import PRM

logit = st.floats(-20, 20)


def run(rows, labels, dtype=torch.float64):
    leaf = torch.tensor(rows, dtype=dtype, requires_grad=True)
    output = PRM()(given_steps(step_logits=leaf, labels=torch.tensor(labels, dtype=dtype)))
    output.losses.sum().backward()
    return output, leaf.grad


@given(wrong=logit, right=logit, label=st.floats(0, 1))
def test_matches_the_formula_for_soft_labels(wrong, right, label):
    output, gradient = run([[wrong, right]], [label])
    p = 1 / (1 + math.exp(wrong - right))
    expected = label * math.log1p(math.exp(wrong - right)) + (1 - label) * math.log1p(math.exp(right - wrong))
    assert output.losses.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert gradient[0].tolist() == pytest.approx([label - p, p - label], abs=1e-9)


def test_hard_labels_are_cross_entropy_on_the_labelled_tokens():
    rows = torch.randn(5, 2, dtype=torch.float64)
    losses = run(rows.tolist(), [1.0, 0.0, 0.0, 1.0, 1.0])[0].losses
    torch.testing.assert_close(losses, F.cross_entropy(rows, torch.tensor([1, 0, 0, 1, 1]), reduction="none"))


def test_the_likelier_side_is_compared_with_the_label():
    output, _ = run([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]], [1.0, 0.2, 0.2])
    assert output.metrics["step_accuracy"].tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("label", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_is_finite_at_extremes(label, dtype):
    output, gradient = run([[-1000.0, 1000.0], [1000.0, -1000.0]], [label, label], dtype)
    assert torch.isfinite(output.losses).all()
    assert torch.isfinite(gradient).all()
