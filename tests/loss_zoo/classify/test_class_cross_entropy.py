import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from swift_core.testing.outputs import given_classes
from swift_loss_zoo.classify.class_cross_entropy import ClassCrossEntropy

logits = st.lists(st.lists(st.floats(-30, 30), min_size=3, max_size=3), min_size=1, max_size=5)


def run(loss, rows, labels, dtype=torch.float64):
    leaf = torch.tensor(rows, dtype=dtype, requires_grad=True)
    output = loss(given_classes(logits=leaf, labels=labels))
    output.losses.sum().backward()
    return output, leaf.grad


def softmax(row):
    top = max(row)
    powers = [math.exp(value - top) for value in row]
    return [power / sum(powers) for power in powers]


def logsumexp(row):
    return max(row) + math.log(sum(math.exp(value - max(row)) for value in row))


@given(rows=logits, smoothing=st.floats(0, 0.9))
def test_matches_the_formula_for_one_class(rows, smoothing):
    labels = [index % 3 for index in range(len(rows))]
    output, gradient = run(ClassCrossEntropy(label_smoothing=smoothing), rows, torch.tensor(labels))
    for row, label, loss, slope in zip(rows, labels, output.losses.tolist(), gradient.tolist(), strict=True):
        logps = [value - logsumexp(row) for value in row]
        expected = -(1 - smoothing) * logps[label] - smoothing / 3 * sum(logps)
        assert loss == pytest.approx(expected, rel=1e-9, abs=1e-9)
        target = [(1 - smoothing) * (k == label) + smoothing / 3 for k in range(3)]
        assert slope == pytest.approx([p - t for p, t in zip(softmax(row), target, strict=True)], abs=1e-9)


@given(rows=logits, smoothing=st.floats(0, 0.9))
def test_matches_the_formula_for_several_classes(rows, smoothing):
    labels = [[float((row + k) % 2) for k in range(3)] for row in range(len(rows))]
    output, gradient = run(ClassCrossEntropy(label_smoothing=smoothing), rows, torch.tensor(labels))
    for row, label, loss, slope in zip(rows, labels, output.losses.tolist(), gradient.tolist(), strict=True):
        target = [(1 - smoothing) * y + smoothing / 2 for y in label]
        terms = [
            y * math.log1p(math.exp(-x)) + (1 - y) * math.log1p(math.exp(x)) for x, y in zip(row, target, strict=True)
        ]
        assert loss == pytest.approx(sum(terms) / 3, rel=1e-9, abs=1e-9)
        expected = [(1 / (1 + math.exp(-x)) - y) / 3 for x, y in zip(row, target, strict=True)]
        assert slope == pytest.approx(expected, abs=1e-7)


def test_class_weights_are_those_of_torch():
    weights, rows, labels = [0.5, 2.0, 1.0], torch.randn(6, 3), torch.tensor([0, 1, 2, 1, 0, 1])
    output = ClassCrossEntropy(class_weights=weights)(given_classes(logits=rows, labels=labels))
    mean = (output.losses * output.weights).sum() / output.weights.sum()
    torch.testing.assert_close(mean, F.cross_entropy(rows, labels, weight=torch.tensor(weights)))


def test_class_weights_multiply_each_of_several_classes():
    rows, labels = torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])
    output = ClassCrossEntropy(class_weights=[3.0, 0.0])(given_classes(logits=rows, labels=labels))
    assert output.losses.item() == pytest.approx(3 * math.log(2) / 2)


def test_an_even_guess_among_four_scores_log_four():
    output, _ = run(ClassCrossEntropy(), [[0.0] * 4], torch.tensor([2]))
    assert output.losses.item() == pytest.approx(math.log(4))


def test_accuracy_is_one_where_the_likeliest_class_is_the_label():
    output, _ = run(ClassCrossEntropy(), [[1.0, 2.0], [1.0, 2.0]], torch.tensor([1, 0]))
    assert output.metrics["accuracy"].tolist() == [1.0, 0.0]


def test_the_accuracy_of_several_classes_is_the_share_of_right_ones():
    output, _ = run(ClassCrossEntropy(), [[1.0, -2.0, 1.0, 1.0]], torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    assert output.metrics["label_accuracy"].tolist() == [0.5]


@pytest.mark.parametrize("labels", [torch.tensor([0, 1]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_is_finite_at_extremes(labels, dtype):
    output, gradient = run(
        ClassCrossEntropy(label_smoothing=0.1), [[-1000.0, 1000.0], [1000.0, -1000.0]], labels, dtype
    )
    assert torch.isfinite(output.losses).all()
    assert torch.isfinite(gradient).all()


def test_rejects_weights_of_another_number_of_classes():
    with pytest.raises(ValueError, match=r"^class_weights must have one value a class, 3 in all, got 2$"):
        run(ClassCrossEntropy(class_weights=[1.0, 2.0]), [[0.0] * 3], torch.tensor([0]))


def test_rejects_labels_that_are_numbers():
    with pytest.raises(ValueError, match=r"^the labels are numbers, not classes; class_squared_error learns numbers$"):
        run(ClassCrossEntropy(), [[0.0]], torch.tensor([0.5]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_smoothing": 1.0}, r"^label_smoothing must be in \[0, 1\), got 1\.0$"),
        ({"class_weights": [1.0, -1.0]}, r"^class_weights\[1\] must be >= 0, got -1\.0$"),
    ],
)
def test_rejects_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        ClassCrossEntropy(**options)
