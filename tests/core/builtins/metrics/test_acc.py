import pytest
import torch

from swift_core.builtins.metrics.acc import Accuracy
from swift_core.contracts.metric import Predictions

VOCABULARY = 7


def measured(batches):
    """Return the figures over batches of (predicted, labels)."""
    metric = Accuracy()
    values = []
    for predicted, labels in batches:
        logits = torch.nn.functional.one_hot(predicted, VOCABULARY).float()
        values.append(metric.preprocess_logits(logits, labels))
    return metric.compute(Predictions(values, [labels for _, labels in batches]))


def test_a_position_predicts_the_token_after_it():
    labels = torch.tensor([[-100, -100, 3, 4, 5]])
    predicted = torch.tensor([[0, 3, 4, 5, 0]])
    assert measured([(predicted, labels)]) == {"token_accuracy": 1.0, "sequence_accuracy": 1.0}


def test_only_trained_positions_count():
    labels = torch.tensor([[-100, -100, 3, 4, -100], [-100, 1, 2, -100, -100], [-100] * 5])
    predicted = torch.tensor([[6, 3, 0, 6, 6], [1, 2, 6, 6, 6], [6] * 5])
    assert measured([(predicted, labels)]) == {"token_accuracy": 3 / 4, "sequence_accuracy": 1 / 2}


def test_it_is_a_count_over_all_rows_and_not_a_mean_of_batches():
    generator = torch.Generator().manual_seed(0)
    batches = []
    for rows, time in ((1, 4), (5, 9), (2, 3)):
        labels = torch.randint(0, 2, (rows, time), generator=generator)
        labels[torch.rand(rows, time, generator=generator) < 0.4] = -100
        batches.append((torch.randint(0, 2, (rows, time), generator=generator), labels))
    tokens, rows = [], []
    for predicted, labels in batches:
        for guess, row in zip(predicted.tolist(), labels.tolist(), strict=True):
            hits = [guess[t - 1] == row[t] for t in range(1, len(row)) if row[t] != -100]
            tokens += hits
            rows += [all(hits)] if hits else []
    expected = {"token_accuracy": sum(tokens) / len(tokens), "sequence_accuracy": sum(rows) / len(rows)}
    assert measured(batches) == expected
    assert 0 < expected["sequence_accuracy"] < expected["token_accuracy"] < 1


def test_rows_without_a_trained_token_are_refused():
    labels = torch.full((2, 3), -100)
    with pytest.raises(ValueError, match=r"^acc needs held-out rows with a trained token$"):
        measured([(torch.zeros_like(labels), labels)])


def test_of_a_classifier_it_is_the_share_of_right_rows():
    metric = Accuracy()
    batches = [(torch.eye(3), torch.tensor([0, 1, 1])), (torch.eye(3)[:1], torch.tensor([0]))]
    values = [metric.preprocess_logits(logits, labels) for logits, labels in batches]
    assert metric.compute(Predictions(values, [labels for _, labels in batches])) == {"accuracy": 3 / 4}


def test_rows_of_several_classes_are_refused():
    labels = torch.tensor([[1.0, 0.0]])
    with pytest.raises(ValueError, match=r"^acc needs one class a row; macro_f1 takes several$"):
        Accuracy().compute(Predictions([Accuracy().preprocess_logits(labels, labels)], [labels]))
