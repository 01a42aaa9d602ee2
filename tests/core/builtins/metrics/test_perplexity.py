import math

import pytest
import torch
import transformers

from swift_core.builtins.metrics.perplexity import Perplexity
from swift_core.contracts.metric import Predictions


def measured(batches):
    metric = Perplexity()
    values = [metric.preprocess_logits(logits, labels) for logits, labels in batches]
    return metric.compute(Predictions(values, [labels for _, labels in batches]))["perplexity"]


def test_an_even_guess_wavers_between_all_tokens():
    assert measured([(torch.zeros(2, 5, 13), torch.ones(2, 5, dtype=torch.int64))]) == pytest.approx(13)


def test_a_value_by_hand_over_batches_of_unequal_size():
    logits = torch.tensor([0.75, 0.25]).log().expand(1, 4, 2)
    batches = [(logits, torch.tensor([[-100, 0, 0, 1]])), (logits[:, :2], torch.tensor([[0, 1]]))]
    assert measured(batches) == pytest.approx(math.exp(-(2 * math.log(0.75) + 2 * math.log(0.25)) / 4))


def test_its_logarithm_is_the_loss_that_transformers_computes(tiny_folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_folder)
    input_ids = torch.randint(0, model.config.vocab_size, (3, 8), generator=torch.Generator().manual_seed(0))
    labels = input_ids.clone()
    labels[:, :3] = labels[1, 6:] = -100
    with torch.no_grad():
        outputs = model(input_ids=input_ids, labels=labels)
    assert math.log(measured([(outputs.logits, labels)])) == pytest.approx(float(outputs.loss), rel=1e-5)


def test_only_trained_tokens_are_kept():
    labels = torch.tensor([[-100, -100, 1, 2], [0, 1, -100, -100]])
    assert Perplexity().preprocess_logits(torch.zeros(2, 4, 5), labels).shape == (3,)


def test_a_hopeless_model_has_a_finite_perplexity():
    logits = torch.tensor([[[1e5, 0.0], [1e5, 0.0]]])
    assert math.isfinite(measured([(logits, torch.tensor([[0, 1]]))]))


def test_rows_without_a_trained_token_are_refused():
    with pytest.raises(ValueError, match=r"^perplexity needs held-out rows with a trained token$"):
        measured([(torch.zeros(1, 3, 5), torch.full((1, 3), -100))])
