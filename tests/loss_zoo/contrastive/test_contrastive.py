"""The two losses on images with their texts, against the papers written out with loops, in float64."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.autograd import gradcheck

from swift_core.testing.outputs import given_contrastive
from swift_loss_zoo.contrastive.clip import Clip
from swift_loss_zoo.contrastive.siglip import SigLip


def made(num_pairs, seed, scale=5.0, bias=-2.0):
    """Return images, texts, scale and bias in float64."""
    drawn = torch.randn(2, num_pairs, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    image, text = torch.nn.functional.normalize(drawn, dim=-1)
    return image, text, torch.tensor(scale, dtype=torch.float64), torch.tensor(bias, dtype=torch.float64)


def outputs(image, text, scale, bias=None):
    values = {"image_embeds": image, "text_embeds": text, "logit_scale": scale}
    return given_contrastive(**values, **({} if bias is None else {"logit_bias": bias}))


def similarity(image, text, i, j):
    return sum(float(a) * float(b) for a, b in zip(image[i], text[j], strict=True))


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


@given(num_pairs=st.integers(1, 6), seed=st.integers(0, 99), scale=st.floats(0.1, 30), bias=st.floats(-10, 2))
def test_siglip_says_of_each_pair_whether_it_is_one(num_pairs, seed, scale, bias):
    image, text, scale, bias = made(num_pairs, seed, scale, bias)
    found = SigLip()(outputs(image, text, scale, bias)).losses
    for i in range(num_pairs):
        total = 0.0
        for j in range(num_pairs):
            z = 1 if i == j else -1
            total += math.log1p(math.exp(-z * (float(scale) * similarity(image, text, i, j) + float(bias))))
        assert float(found[i]) == pytest.approx(total, abs=1e-9)


def test_equal_embeddings_cost_the_logarithm_of_their_number():
    same = torch.ones(5, 3) / math.sqrt(3)
    assert Clip()(outputs(same, same, torch.tensor(9.0))).losses.tolist() == pytest.approx([math.log(5)] * 5)


@pytest.mark.parametrize("loss", [Clip(), Clip(label_smoothing=0.1), SigLip()])
def test_gradients_are_those_of_finite_differences(loss):
    values = [value.requires_grad_() for value in made(4, 3)]
    given_values = values if isinstance(loss, SigLip) else values[:3]
    assert gradcheck(lambda *numbers: loss(outputs(*numbers)).losses, given_values)


def test_accuracies_are_those_of_the_nearest():
    image = torch.eye(3)
    text = image[[0, 2, 1]]
    metrics = Clip()(outputs(image, text, torch.tensor(1.0))).metrics
    assert metrics["image_accuracy"].tolist() == metrics["text_accuracy"].tolist() == [True, False, False]


@pytest.mark.parametrize("options", [{"max_logit_scale": 0.0}, {"label_smoothing": 1.0}, {"label_smoothing": -0.1}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ValueError, match=f"^{next(iter(options))} must be"):
        Clip(**options)


def test_a_model_without_a_bias_is_told():
    with pytest.raises(ValueError, match="the model has no logit_bias, which SigLIP models have"):
        SigLip()(outputs(*made(3, 0)[:3]))
