"""SigLIP's loss against its paper written out with loops, in float64."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.loss_zoo.contrastive.pairs import made, outputs, similarity
from torch.autograd import gradcheck

from swift_loss_zoo.contrastive.siglip import SigLip


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


def test_gradients_are_those_of_finite_differences():
    values = [value.requires_grad_() for value in made(4, 3)]
    assert gradcheck(lambda *numbers: SigLip()(outputs(*numbers)).losses, values)


def test_a_model_without_a_bias_is_told():
    with pytest.raises(ValueError, match="the model has no logit_bias, which SigLIP models have"):
        SigLip()(outputs(*made(3, 0)[:3]))
