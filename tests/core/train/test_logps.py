import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from swift_core.train import tiles as module
from swift_core.train.adjustment import Adjustment
from swift_core.train.logps import STATISTICS, HeadCall, selected_logps, token_scores

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


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("adjust", ADJUSTMENTS)
def test_statistics_match_their_definitions(adjust, plain, frozen):
    hidden, head, labels = make(dtype=torch.float32)
    labels[:9] = (slow_logits(hidden, head, adjust).argmax(1))[:9]
    head.requires_grad_(not frozen)
    used = head if plain else Adapted(head)
    if not plain:
        used.extra.weight.data.zero_()
    statistics = token_scores(hidden, HeadCall.of(used, adjust), labels, asked=STATISTICS).statistics
    logp = slow_logits(hidden, head, adjust).double().log_softmax(1)
    expected = {
        "entropies": -(logp.exp() * logp).sum(1),
        "log_sum_p2": logp.exp().square().sum(1).log(),
        "top1": (logp.argmax(1) == labels).double(),
    }
    assert set(statistics) == set(expected)
    assert 9 <= expected["top1"].sum() < len(labels)
    for name, value in statistics.items():
        assert not value.requires_grad
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-4, atol=1e-5)


def slow_logits(hidden, head, adjust):
    logits = head(hidden).detach() * adjust.scale
    return adjust.softcap * torch.tanh(logits / adjust.softcap) if adjust.softcap else logits


@pytest.mark.parametrize("asked", [frozenset(), STATISTICS])
def test_asking_for_statistics_changes_no_log_probability(asked):
    hidden, head, labels = make(dtype=torch.float32)
    scores = token_scores(hidden, HeadCall.of(head, Adjustment()), labels, asked=asked)
    assert torch.equal(scores.logps, selected_logps(hidden, head, labels, Adjustment()))
    assert set(scores.statistics) == asked


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("plain", [False, True])
def test_a_reference_scored_in_the_same_pass_is_the_one_scored_alone(plain, frozen):
    hidden, head, labels = make(dtype=torch.float32)
    head.requires_grad_(not frozen)
    used = head if plain else Adapted(head)
    reference = torch.randn_like(hidden)
    scores = token_scores(hidden, HeadCall.of(used, Adjustment()), labels, reference_hidden=reference)
    alone = selected_logps(reference, used, labels, Adjustment())
    policy = selected_logps(hidden, used, labels, Adjustment())
    torch.testing.assert_close(scores.reference_logps, alone)
    assert not scores.reference_logps.requires_grad
    for one, other in zip(
        torch.autograd.grad(scores.logps.sum(), hidden), torch.autograd.grad(policy.sum(), hidden), strict=True
    ):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("frozen", [False, True])
def test_no_tensor_is_as_large_as_tokens_times_vocabulary(frozen, monkeypatch):
    monkeypatch.setattr(module, "CACHED_ELEMENTS", 1 << 12)
    monkeypatch.setattr(module, "TILE_ROWS", 64)
    num_tokens, vocabulary = 256, 4096
    head = nn.Linear(8, vocabulary, bias=False).requires_grad_(not frozen)
    hidden = torch.randn(num_tokens, 8, requires_grad=True)
    labels = torch.randint(0, vocabulary, (num_tokens,))
    with LargestTensor() as largest:
        selected_logps(hidden, head, labels, Adjustment()).sum().backward()
    assert largest.elements == head.weight.numel() < num_tokens * vocabulary / 16


class LargestTensor(TorchDispatchMode):
    """Notes the number of elements of the largest result of any operation."""

    elements = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.elements = max(self.elements, result.untyped_storage().nbytes() // result.itemsize)
        return result


def test_masked_vocabulary_entries_take_no_probability_and_no_gradient():
    head = nn.Linear(5, 23)
    head.bias.data[:10] = -torch.inf
    hidden = torch.randn(3, 5, requires_grad=True)
    labels = torch.tensor([10, 15, 22])
    expected = slow(hidden, head, labels, Adjustment())
    actual = selected_logps(hidden, head, labels, Adjustment())
    torch.testing.assert_close(actual, expected)
    actual.sum().backward()
    assert torch.isfinite(hidden.grad).all()
    assert head.weight.grad[:10].abs().sum() == 0


def test_the_same_input_gives_the_same_bits():
    hidden, head, labels = make(dtype=torch.float32)
    first, second = (selected_logps(hidden, head, labels, Adjustment()) for _ in range(2))
    assert torch.equal(first, second)
