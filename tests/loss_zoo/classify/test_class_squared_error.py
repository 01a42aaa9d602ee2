import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.testing.outputs import given_classes
from swift_loss_zoo.classify.class_squared_error import ClassSquaredError

number = st.floats(-1e3, 1e3)


@given(pairs=st.lists(st.tuples(number, number), min_size=1, max_size=6))
def test_matches_the_formula(pairs):
    logits = torch.tensor([[said] for said, _ in pairs], dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([true for _, true in pairs], dtype=torch.float64)
    output = ClassSquaredError()(given_classes(logits=logits, labels=labels))
    output.losses.sum().backward()
    assert output.losses.tolist() == pytest.approx([(said - true) ** 2 for said, true in pairs])
    assert logits.grad[:, 0].tolist() == pytest.approx([2 * (said - true) for said, true in pairs])
    assert output.metrics["absolute_error"].tolist() == pytest.approx([abs(said - true) for said, true in pairs])


@pytest.mark.parametrize("labels", [torch.tensor([1]), torch.tensor([[1.0]])])
def test_rejects_classes(labels):
    with pytest.raises(ValueError, match=r"^the labels are classes, not numbers; class_cross_entropy learns classes$"):
        ClassSquaredError()(given_classes(logits=torch.zeros(1, 1), labels=labels))
