# ruff: noqa: D100, D103
import pytest
import torch
from acme_swift_signum import Signum, _native

SHAPES = [(3,), (65536 * 2 + 5,), (64, 33), (0,), ()]


def reference_(param, grad, momentum, *, lr, beta, weight_decay):
    momentum.mul_(beta).add_((1 - beta) * grad)
    param.mul_(1 - lr * weight_decay).sub_(lr * momentum.sign())


@pytest.mark.parametrize("isa", ["baseline", "v3", "v4"])
def test_five_steps_are_those_of_the_formula_in_float64(isa):
    if not _native.select_isa(isa):
        pytest.skip(f"this machine does not run {isa}")
    generator = torch.Generator().manual_seed(0)
    params = [torch.randn(shape, generator=generator).requires_grad_() for shape in SHAPES]
    expected = [param.detach().double() for param in params]
    momenta = [torch.zeros_like(param) for param in expected]
    options = {"lr": 1e-2, "beta": 0.75, "weight_decay": 0.5}
    optimizer = Signum(params, **options)
    for _ in range(5):
        for param, target, momentum in zip(params, expected, momenta, strict=True):
            # Multiples of 1/4 keep every momentum exact, so that no sign hangs on rounding.
            param.grad = torch.randint(-8, 9, param.shape, generator=generator) / 4
            reference_(target, param.grad.double(), momentum, **options)
        optimizer.step()
    for param, target in zip(params, expected, strict=True):
        torch.testing.assert_close(param.detach().double(), target, rtol=0, atol=2e-6)


def test_the_result_does_not_depend_on_the_number_of_threads():
    results = []
    before = torch.get_num_threads()
    for num_threads in (1, 3):
        torch.set_num_threads(num_threads)
        param = torch.linspace(-1, 1, 300_000).requires_grad_()
        param.grad = param.detach().sin()
        Signum([param], lr=0.1, weight_decay=0.1).step()
        results.append(param.detach().clone())
    torch.set_num_threads(before)
    assert torch.equal(*results)


def test_a_transposed_parameter_is_refused():
    with pytest.raises(ValueError, match=r"needs a contiguous float32 parameter on the CPU, got .* strides \(1, 4\)"):
        Signum([torch.zeros(3, 4).T.requires_grad_()])


def test_an_option_out_of_range_is_refused_with_its_value():
    with pytest.raises(ValueError, match=r"beta must be in \[0, 1\), got 1.5"):
        Signum([torch.zeros(3, requires_grad=True)], beta=1.5)
