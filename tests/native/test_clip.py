"""Gradient norm and clipping in native code against torch's own, and against a sum in exact arithmetic."""

import math

import pytest
import torch

from swift_native import AdamW, clip_grad_norm_, grad_norm, usable_isas

DTYPES = [torch.float32, torch.bfloat16, torch.float16]


def parameters(dtype=torch.float32, sizes=(3, 70_000, 257, 1)):
    params = [torch.nn.Parameter(torch.zeros(size, dtype=dtype)) for size in sizes]
    for index, param in enumerate(params):
        values = torch.randn(param.shape, generator=torch.Generator().manual_seed(index))
        param.grad = (values * 10.0 ** (index - 2)).to(dtype)
    return [*params, torch.nn.Parameter(torch.zeros(2))]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_norm_is_the_root_of_the_sum_of_all_squares(threads, isa, dtype):
    params = parameters(dtype)
    exact = math.sqrt(math.fsum(value**2 for param in params[:-1] for value in param.grad.double().tolist()))
    seen = set()
    for name in usable_isas():
        isa(name)
        for num_threads in (1, 3):
            threads(num_threads)
            seen.add(grad_norm(params).item())
    assert len(seen) == 1
    assert seen.pop() == pytest.approx(exact, rel=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("max_norm", [0.0, 0.5, 1e9])
def test_clips_as_torch_does(dtype, max_norm):
    ours, theirs = parameters(dtype), parameters(dtype)
    versions = [param.grad._version for param in ours[:-1]]
    norm = clip_grad_norm_(ours, max_norm)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm)
    bound = {torch.float32: 1e-5, torch.bfloat16: 2.0**-7, torch.float16: 2.0**-10}[dtype]
    torch.testing.assert_close(norm, expected.float(), rtol=2 * bound, atol=0)
    for one, other in zip(ours[:-1], theirs[:-1], strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=2 * bound, atol=1e-7)
    changed = [param.grad._version > before for param, before in zip(ours[:-1], versions, strict=True)]
    assert changed == [max_norm < 1e9] * 4


def test_every_float16_is_scaled_to_the_nearest():
    grad = torch.arange(1 << 16, dtype=torch.int32).to(torch.int16).view(torch.float16)
    grad = grad[grad.isfinite()]
    param = torch.nn.Parameter(torch.zeros(grad.shape, dtype=torch.float16))
    for factor in (1 / 3, 1e-3, 0.77):
        param.grad = grad.clone()
        norm = grad_norm(param).item()
        clip_grad_norm_(param, factor * (norm + 1e-6))
        exact = (grad.double() * (factor * (norm + 1e-6) / (norm + 1e-6))).float().half()
        assert (param.grad.view(torch.int16).int() - exact.view(torch.int16).int()).abs().max() <= 1
        assert (param.grad == exact).float().mean() > 0.99


def test_gradients_that_do_not_lie_in_order_are_clipped_in_place():
    param = torch.nn.Parameter(torch.zeros(4, 6))
    whole = torch.full((8, 6), 2.0)
    param.grad = whole[::2]
    norm = clip_grad_norm_(param, 1.0)
    assert norm.item() == pytest.approx(math.sqrt(24 * 4))
    torch.testing.assert_close(whole[::2].norm(), torch.tensor(1.0))
    assert torch.equal(whole[1::2], torch.full((4, 6), 2.0))


def test_no_gradients_have_norm_zero():
    assert clip_grad_norm_([torch.nn.Parameter(torch.ones(2))], 1.0).item() == 0.0
    assert grad_norm([]).item() == 0.0


def test_a_norm_that_is_not_finite_spoils_gradients_or_is_an_error():
    param = torch.nn.Parameter(torch.zeros(2))
    param.grad = torch.tensor([float("nan"), 1.0])
    with pytest.raises(RuntimeError, match="the global norm of the gradients is nan, so they cannot be clipped by it"):
        clip_grad_norm_(param, 1.0, error_if_nonfinite=True)
    assert param.grad[1] == 1.0
    clip_grad_norm_(param, 1.0)
    assert param.grad.isnan().all()


def test_a_wrong_limit_and_a_sparse_gradient_are_refused():
    param = torch.nn.Parameter(torch.zeros(2))
    with pytest.raises(ValueError, match=r"^max_norm must be >= 0, got -1\.0$"):
        clip_grad_norm_(param, -1.0)
    param.grad = torch.ones(2).to_sparse()
    with pytest.raises(ValueError, match="the gradient of parameter 0 is sparse_coo"):
        grad_norm(param)


@pytest.mark.parametrize("offload", ["none", "cpu"])
@pytest.mark.parametrize("max_norm", [0.5, 1e9])
def test_clipping_inside_the_next_step_is_clipping_before_it(max_norm, offload):
    clipped, usual = parameters(), parameters()
    optimizer = AdamW(clipped, lr=0.1, eps=1.0, offload=offload)
    other = AdamW(usual, lr=0.1, eps=1.0, offload=offload)
    before = [param.grad.clone() for param in clipped[:-1]]
    norm = optimizer.clip_next_step(max_norm)
    assert float(norm) == pytest.approx(float(torch.nn.utils.clip_grad_norm_(usual, max_norm)), rel=1e-6)
    assert all(torch.equal(param.grad, grad) for param, grad in zip(clipped, before, strict=False))
    optimizer.step()
    other.step()
    for one, two in zip(clipped, usual, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-7)
    for param, grad in zip(usual, before, strict=False):
        param.grad = grad.clone()
    optimizer.step()  # the factor was for one step
    other.step()
    for one, two in zip(clipped, usual, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-7)
