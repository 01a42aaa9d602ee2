"""Losses on tokens against transformers' label smoothing and torch's own functions: values and gradients."""

import pytest
import torch
import torch.nn.functional as F

from swift_core.builtins.cross_entropy import CrossEntropy
from swift_core.testing.outputs import given_tokens
from swift_loss_zoo.token.weighted_nll import WeightedNLL

VOCABULARY = 17


@pytest.fixture(params=range(4))
def tokens(request):
    """Logits of some tokens as a leaf, their labels and weights."""
    generator = torch.Generator().manual_seed(request.param)
    count = 2 + 5 * request.param
    logits = 2 * torch.randn(count, VOCABULARY, generator=generator, dtype=torch.float64)
    labels = torch.randint(VOCABULARY, (count,), generator=generator)
    return logits.requires_grad_(), labels, torch.rand(count, generator=generator, dtype=torch.float64)


def ours(loss, logits, labels, weights=None):
    """Return our mean over the step, as core forms it."""
    values = {"logps": logits.log_softmax(-1).gather(-1, labels[:, None]).squeeze(-1), "token_logits": logits}
    weights = torch.ones(len(labels), dtype=logits.dtype) if weights is None else weights
    output = loss(given_tokens(**values, weights=weights))
    share = torch.ones_like(output.losses) if output.weights is None else output.weights
    return (output.losses * share).sum() / share.sum()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_label_smoothing(tokens, same, smoothing):
    from transformers.trainer_pt_utils import LabelSmoother

    logits, labels, _ = tokens
    outputs = {"logits": logits[None]}
    theirs = LabelSmoother(epsilon=smoothing)(outputs, labels[None])
    same(ours(CrossEntropy(label_smoothing=smoothing), logits, labels), theirs, [logits], 1e-6)  # a sum in float32
    theirs = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    same(ours(CrossEntropy(label_smoothing=smoothing), logits, labels), theirs, [logits])


def test_weights_are_relative_in_cross_entropy_and_absolute_in_weighted_nll(tokens, same):
    logits, labels, weights = tokens
    losses = F.cross_entropy(logits, labels, reduction="none") * weights
    same(ours(CrossEntropy(), logits, labels, weights), losses.sum() / weights.sum(), [logits])
    same(ours(WeightedNLL(), logits, labels, weights), losses.mean(), [logits])
