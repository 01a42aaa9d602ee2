import pytest
import torch

from swift_core.builtins.metrics.first_error_f1 import FirstErrorF1
from swift_core.contracts.metric import Predictions


def measured(rows, threshold=0.5):
    """Return the figures over rows of (probability that each step is right, label of each step or None)."""
    metric, values, labels = FirstErrorF1(threshold=threshold), [], []
    for right, truth in rows:
        p = torch.tensor([[0.9, *right]])  # the first token ends no step
        values.append(metric.preprocess_logits(torch.stack([(1 - p).log(), p.log()], -1), p))
        labels.append(torch.tensor([[-100.0, *(-100.0 if label is None else label for label in truth)]]))
    return metric.compute(Predictions(values, labels))


def test_it_is_the_harmonic_mean_of_both_accuracies():
    rows = [
        ([0.9, 0.1, 0.9], [1, 0, None]),  # found
        ([0.1, 0.1, 0.9], [1, 0, None]),  # found too early
        ([0.9, 0.9, 0.1], [1, 0, None]),  # a step that nobody judged is not looked at: none is found
        ([0.9, 0.9], [1, 0]),  # not found
        ([0.9, 0.9], [1, 1]),  # left alone
        ([0.9, 0.1], [1, 1]),  # blamed
    ]
    error, correct = 1 / 4, 1 / 2
    assert measured(rows) == pytest.approx(
        {
            "error_accuracy": error,
            "correct_accuracy": correct,
            "first_error_f1": 2 * error * correct / (error + correct),
        }
    )


def test_both_accuracies_at_zero_make_zero():
    assert measured([([0.9], [0]), ([0.1], [1])])["first_error_f1"] == 0.0


def test_rows_of_one_sort_leave_the_other_at_zero():
    assert measured([([0.9], [1])]) == {"error_accuracy": 0.0, "correct_accuracy": 1.0, "first_error_f1": 0.0}


def test_the_threshold_decides_what_is_wrong():
    rows = [([0.6, 0.6], [1, 1]), ([0.6, 0.2], [1, 0])]
    assert measured(rows, threshold=0.5)["first_error_f1"] == 1.0
    assert measured(rows, threshold=0.7)["first_error_f1"] == 0.0


def test_rows_without_a_label_are_refused():
    with pytest.raises(ValueError, match=r"^first_error_f1 needs held-out rows with a labelled step$"):
        measured([([0.5], [None])])


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_the_threshold_lies_between_zero_and_one(threshold):
    with pytest.raises(ValueError, match=r"^threshold must be in "):
        FirstErrorF1(threshold=threshold)
