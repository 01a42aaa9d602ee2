import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.builtins.metrics.macro_f1 import MacroF1
from swift_core.contracts.metric import Predictions

classes = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12)


def measured(*batches):
    metric = MacroF1()
    values = [metric.preprocess_logits(logits, labels) for logits, labels in batches]
    return metric.compute(Predictions(values, [labels for _, labels in batches]))


def slow(pairs):
    """Return the mean F1 over the classes that occur, by precision and recall."""
    scores = []
    for k in range(4):
        right = sum(said == true == k for said, true in pairs)
        said, true = sum(said == k for said, _ in pairs), sum(true == k for _, true in pairs)
        if said or true:
            precision, recall = right / said if said else 0.0, right / true if true else 0.0
            scores.append(2 * precision * recall / (precision + recall) if right else 0.0)
    return sum(scores) / len(scores)


@given(pairs=classes, cut=st.integers(0, 12))
def test_it_is_the_mean_f1_of_the_classes_that_occur_over_all_batches(pairs, cut):
    parts = [part for part in (pairs[:cut], pairs[cut:]) if part]
    batches = [(torch.eye(4)[[said for said, _ in part]], torch.tensor([true for _, true in part])) for part in parts]
    figures = measured(*batches)
    assert figures["macro_f1"] == pytest.approx(slow(pairs))
    assert figures["accuracy"] == pytest.approx(sum(said == true for said, true in pairs) / len(pairs))


def test_of_several_classes_a_row_is_right_when_all_are():
    logits = torch.tensor([[1.0, -1.0], [1.0, 1.0], [-1.0, -1.0]])
    labels = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    assert measured((logits, labels)) == {"accuracy": pytest.approx(2 / 3), "macro_f1": pytest.approx(0.5)}


def test_nothing_said_and_nothing_true_is_zero():
    assert measured((torch.tensor([[-1.0, -1.0]]), torch.zeros(1, 2)))["macro_f1"] == 0.0


def test_numbers_are_refused():
    with pytest.raises(ValueError, match=r"^macro_f1 needs classes, and the labels are numbers$"):
        measured((torch.zeros(2, 1), torch.tensor([0.5, 1.0])))
