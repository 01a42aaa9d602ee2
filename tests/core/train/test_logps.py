import pytest
import torch
from torch import nn

from swift_core.train import tiles as module
from swift_core.train.adjustment import Adjustment
from swift_core.train.logps import selected_logps

ADJUSTMENTS = [Adjustment(), Adjustment(scale=0.3), Adjustment(softcap=3.0), Adjustment(scale=1.7, softcap=2.0)]


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    for name, value in {"TILE_ROWS": 16, "CACHED_ELEMENTS": 16 * 7, "CALLED_ELEMENTS": 16 * 23}.items():
        monkeypatch.setattr(module, name, value)  # 37 tokens and 23 logits are cut into 3 times 4 tiles


def make(num_tokens=37, bias=True, dtype=torch.float64):
    torch.manual_seed(0)
    head = nn.Linear(5, 23, bias=bias, dtype=dtype)
    hidden = torch.randn(num_tokens, 5, dtype=dtype, requires_grad=True)
    return hidden, head, torch.randint(0, 23, (num_tokens,))


def slow(hidden, head, labels, adjust):
    logits = head(hidden) * adjust.scale
    if adjust.softcap:
        logits = adjust.softcap * torch.tanh(logits / adjust.softcap)
    return logits.log_softmax(-1)[torch.arange(len(labels)), labels]


@pytest.mark.parametrize("adjust", ADJUSTMENTS)
@pytest.mark.parametrize("bias", [True, False])
def test_value_and_gradients_match_full_logits(adjust, bias):
    hidden, head, labels = make(bias=bias, dtype=torch.float32)
    weights = torch.randn(len(labels))
    expected = slow(hidden, head, labels, adjust)
    inputs = [hidden, *head.parameters()]
    expected_gradients = torch.autograd.grad((expected * weights).sum(), inputs)
    actual = selected_logps(hidden, head, labels, adjust)
    gradients = torch.autograd.grad((actual * weights).sum(), inputs)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    for one, other in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


class Adapted(nn.Module):
    """A head that is no plain Linear, as LoRA makes it."""

    def __init__(self, base):
        super().__init__()
        self.base, self.extra, self.out_features = base, nn.Linear(5, 23, bias=False), 23

    def forward(self, hidden):
        return self.base(hidden) + self.extra(hidden)


def test_an_adapted_head_takes_the_slow_path_to_the_same_numbers():
    hidden, head, labels = make(dtype=torch.float32)
    adapted = Adapted(head)
    inputs = [hidden, *adapted.parameters()]
    expected = slow(hidden, adapted, labels, Adjustment())
    actual = selected_logps(hidden, adapted, labels, Adjustment())
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    for one, other in zip(
        torch.autograd.grad(actual.sum(), inputs), torch.autograd.grad(expected.sum(), inputs), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_no_tokens_is_an_empty_result_with_zero_gradients():
    hidden, head, labels = make(num_tokens=0, dtype=torch.float32)
    result = selected_logps(hidden, head, labels, Adjustment())
    result.sum().backward()
    assert result.shape == (0,)
    assert head.weight.grad.abs().sum() == 0


@pytest.mark.parametrize("adjust", ADJUSTMENTS)
def test_a_frozen_head_gives_the_same_gradient_in_one_pass(adjust, monkeypatch):
    hidden, head, labels = make(dtype=torch.float32)
    head.requires_grad_(False)
    weights = torch.randn(len(labels))
    (expected,) = torch.autograd.grad((slow(hidden, head, labels, adjust) * weights).sum(), hidden)
    actual = selected_logps(hidden, head, labels, adjust)
    monkeypatch.setattr(module, "_Tiling", lambda *_: pytest.fail("logits were formed again"))
    (gradient,) = torch.autograd.grad((actual * weights).sum(), hidden)
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)
    assert head.weight.grad is None


def test_bfloat16_is_summed_in_float32():
    hidden, head, labels = make(dtype=torch.bfloat16)
    result = selected_logps(hidden, head, labels, Adjustment())
    expected = slow(hidden.float(), head.float(), labels, Adjustment())
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, expected, rtol=0, atol=0.05)


def test_extreme_logits_stay_finite():
    head = nn.Linear(1, 3, bias=False)
    head.weight.data = torch.tensor([[1e4], [-1e4], [0.0]])
    hidden = torch.ones(1, 1, requires_grad=True)
    result = selected_logps(hidden, head, torch.tensor([1]), Adjustment())
    result.sum().backward()
    assert result.item() == pytest.approx(-2e4)
    assert torch.isfinite(hidden.grad).all()
