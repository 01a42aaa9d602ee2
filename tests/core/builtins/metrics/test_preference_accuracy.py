from types import SimpleNamespace

import pytest
import torch

from swift_core.builtins.metrics.preference_accuracy import PreferenceAccuracy
from swift_core.contracts.metric import Predictions

PAIRS = SimpleNamespace(
    chosen_logps=torch.tensor([-4.0, -9.0, -5.0, -3.0]),
    rejected_logps=torch.tensor([-5.0, -8.0, -5.0, -2.0]),
    reference_chosen_logps=torch.tensor([-4.0, -11.0, -5.0, -3.0]),
    reference_rejected_logps=torch.tensor([-6.0, -8.0, -4.0, -2.5]),
    chosen_lengths=torch.tensor([4, 9, 5, 6]),
    rejected_lengths=torch.tensor([5, 4, 5, 2]),
)


@pytest.mark.parametrize(
    ("options", "right"),
    [
        ({}, 1),
        ({"per_token": True}, 2),
        ({"against_reference": True}, 2),
        ({"against_reference": True, "per_token": True}, 2),
    ],
)
def test_a_pair_is_right_when_its_chosen_answer_is_likelier_and_a_tie_is_not(options, right):
    metric = PreferenceAccuracy(**options)
    kept = metric.preprocess_outputs(PAIRS)
    assert metric.compute(Predictions([kept[:3], kept[3:]], [])) == {"preference_accuracy": right / 4}
