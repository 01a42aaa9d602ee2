"""CLIP's loss against its paper written out with loops, in float64."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.loss_zoo.contrastive.pairs import made, outputs, similarity
from torch.autograd import gradcheck

from swift_loss_zoo.contrastive.clip import Clip


def cross_entropy(numbers, label, smoothing):
    total = math.log(sum(math.exp(number) for number in numbers))
    losses = [total - number for number in numbers]
    return (1 - smoothing) * losses[label] + smoothing * sum(losses) / len(losses)


@given(
    num_pairs=st.integers(1, 6),
    seed=st.integers(0, 99),
    scale=st.floats(0.1, 30),
    smoothing=st.sampled_from([0.0, 0.2]),
)
def test_clip_is_the_mean_of_both_cross_entropies(num_pairs, seed, scale, smoothing):
    image, text, scale, _ = made(num_pairs, seed, scale)
    found = Clip(label_smoothing=smoothing)(outputs(image, text, scale)).losses
    logits = [[float(scale) * similarity(image, text, i, j) for j in range(num_pairs)] for i in range(num_pairs)]
    for i in range(num_pairs):
        of_image = cross_entropy(logits[i], i, smoothing)
        of_text = cross_entropy([row[i] for row in logits], i, smoothing)
        assert float(found[i]) == pytest.approx((of_image + of_text) / 2, abs=1e-9)


def test_clip_is_the_pseudo_code_of_its_paper():
    image, text, scale, _ = made(7, 1)
    logits = image @ text.T * scale
    labels = torch.arange(7)
    loss_i = torch.nn.functional.cross_entropy(logits.T, labels)
    loss_t = torch.nn.functional.cross_entropy(logits, labels)
    assert float(Clip()(outputs(image, text, scale)).losses.mean()) == pytest.approx(float((loss_i + loss_t) / 2))


def test_equal_embeddings_cost_the_logarithm_of_their_number():
    same = torch.ones(5, 3) / math.sqrt(3)
    assert Clip()(outputs(same, same, torch.tensor(9.0))).losses.tolist() == pytest.approx([math.log(5)] * 5)


@pytest.mark.parametrize("loss", [Clip(), Clip(label_smoothing=0.1)])
def test_gradients_are_those_of_finite_differences(loss):
    values = [value.requires_grad_() for value in made(4, 3)[:3]]
    assert gradcheck(lambda *numbers: loss(outputs(*numbers)).losses, values)


def test_accuracies_are_those_of_the_nearest():
    image = torch.eye(3)
    text = image[[0, 2, 1]]
    metrics = Clip()(outputs(image, text, torch.tensor(1.0))).metrics
    assert metrics["image_accuracy"].tolist() == metrics["text_accuracy"].tolist() == [True, False, False]


@pytest.mark.parametrize("options", [{"max_logit_scale": 0.0}, {"label_smoothing": 1.0}, {"label_smoothing": -0.1}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=f"^{next(iter(options))} must be"):
        Clip(**options)
