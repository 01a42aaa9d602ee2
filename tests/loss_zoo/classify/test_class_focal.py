import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.testing.outputs import given_classes
from swift_loss_zoo.classify.class_cross_entropy import ClassCrossEntropy
from swift_loss_zoo.classify.class_focal import ClassFocal


def run(loss, rows, labels, dtype=torch.float64):
    leaf = torch.tensor(rows, dtype=dtype, requires_grad=True)
    losses = loss(given_classes(logits=leaf, labels=torch.tensor(labels))).losses
    losses.sum().backward()
    return losses, leaf.grad


def focal(p, gamma):
    return -((1 - p) ** gamma) * math.log(p)


def slope(p, gamma):
    """The derivative of the formula in log p."""
    return gamma * p * (1 - p) ** (gamma - 1) * math.log(p) - (1 - p) ** gamma


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


@given(x=st.floats(-12, 12), gamma=st.floats(0, 5), share=st.floats(0, 1))
def test_two_classes_are_the_binary_form_of_the_paper(x, gamma, share):
    losses, gradient = run(ClassFocal(gamma=gamma, alpha=[1 - share, share]), [[0.0, x], [0.0, x]], [1, 0])
    p = sigmoid(x)
    expected = [share * focal(p, gamma), (1 - share) * focal(1 - p, gamma)]
    assert losses.tolist() == pytest.approx(expected, rel=1e-6, abs=1e-9)
    expected = [share * slope(p, gamma) * (1 - p), -(1 - share) * slope(1 - p, gamma) * p]
    assert gradient[:, 1].tolist() == pytest.approx(expected, rel=1e-5, abs=1e-8)


@given(row=st.lists(st.floats(-8, 8), min_size=4, max_size=4), gamma=st.floats(0, 5), label=st.integers(0, 3))
def test_more_classes_use_the_probability_of_the_label(row, gamma, label):
    losses, _ = run(ClassFocal(gamma=gamma, alpha=[0.1, 0.2, 0.3, 0.4]), [row], [label])
    p = math.exp(row[label]) / sum(math.exp(x) for x in row)
    assert losses.item() == pytest.approx((label + 1) / 10 * focal(p, gamma), rel=1e-6, abs=1e-9)


@given(row=st.lists(st.floats(-8, 8), min_size=3, max_size=3), gamma=st.floats(0, 5))
def test_several_classes_a_text_are_the_mean_of_binary_forms(row, gamma):
    alpha, label = [0.2, 0.5, 0.9], [1.0, 0.0, 1.0]
    losses, _ = run(ClassFocal(gamma=gamma, alpha=alpha), [row], [label])
    terms = [
        a * focal(sigmoid(x), gamma) if y else (1 - a) * focal(sigmoid(-x), gamma)
        for x, y, a in zip(row, label, alpha, strict=True)
    ]
    assert losses.item() == pytest.approx(sum(terms) / 3, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("labels", [[0, 2], [[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]])
def test_gamma_zero_is_cross_entropy(labels):
    rows = torch.randn(2, 3).tolist()
    torch.testing.assert_close(
        run(ClassFocal(gamma=0.0), rows, labels), run(ClassCrossEntropy(), rows, labels), rtol=1e-9, atol=1e-12
    )


def test_an_even_guess_of_two_scores_a_quarter_of_log_two():
    assert run(ClassFocal(gamma=2.0), [[0.0, 0.0]], [0])[0].item() == pytest.approx(0.25 * math.log(2))


@pytest.mark.parametrize("gamma", [0.0, 0.01, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("labels", [[0, 1], [[1.0, 0.0], [0.0, 1.0]]])
def test_is_finite_at_extremes(gamma, labels):
    losses, gradient = run(ClassFocal(gamma=gamma), [[1000.0, -1000.0], [1000.0, -1000.0]], labels, torch.float32)
    assert torch.isfinite(losses).all()
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": -1.0}, r"^gamma must be >= 0, got -1\.0$"),
        ({"alpha": [0.5, 1.5]}, r"^alpha\[1\] must be in \[0, 1\], got 1\.5$"),
    ],
)
def test_rejects_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        ClassFocal(**options)


def test_rejects_alpha_of_another_number_of_classes():
    with pytest.raises(ValueError, match=r"^alpha must have one value a class, 2 in all, got 3$"):
        run(ClassFocal(alpha=[0.1, 0.2, 0.3]), [[0.0, 0.0]], [0])
