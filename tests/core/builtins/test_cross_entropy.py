import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from swift_core.builtins.cross_entropy import CrossEntropy
from swift_core.testing.outputs import given_tokens


def tokens(logits, labels, weights=None):
    logps = logits.log_softmax(-1).gather(1, labels[:, None]).squeeze(1)
    weights = torch.ones(len(labels)) if weights is None else weights
    return given_tokens(logps=logps, token_logits=logits, labels=labels, weights=weights)


@given(seed=st.integers(0, 1000), smoothing=st.floats(0, 0.9))
def test_matches_torch_with_and_without_smoothing(seed, smoothing):
    generator = torch.Generator().manual_seed(seed)
    logits = 5 * torch.randn(7, 11, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 11, (7,), generator=generator)
    losses = CrossEntropy(label_smoothing=smoothing)(tokens(logits, labels)).losses
    expected = F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(losses, expected, rtol=1e-9, atol=1e-9)


def test_z_loss_adds_the_squared_log_normaliser():
    logits = torch.tensor([[0.0, 0.0]])
    output = CrossEntropy(z_loss=0.1)(tokens(logits, torch.tensor([0])))
    log_two = torch.tensor(2.0).log()
    torch.testing.assert_close(output.losses, (log_two + 0.1 * log_two**2).reshape(1))


def test_plain_loss_never_reads_the_logits():
    outputs = tokens(torch.randn(3, 5), torch.tensor([0, 1, 2]))
    CrossEntropy()(outputs)
    assert outputs.computed() == {"logps", "weights"}


def test_weights_pass_through():
    weights = torch.tensor([0.5, 2.0])
    assert CrossEntropy()(tokens(torch.randn(2, 3), torch.tensor([0, 1]), weights)).weights is weights


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\), got 1\.0"),
        ({"z_loss": -1.0}, r"z_loss must be >= 0, got -1\.0"),
    ],
)
def test_rejects_wrong_options(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        CrossEntropy(**options)
