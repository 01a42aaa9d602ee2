"""The elementwise half of GaLore against torch's AdamW on the projected gradient."""

import pytest
import torch

from swift_native import adamw_moves_

SHAPES = [(40, 8), (8, 300), (1,)]


def random(shape, seed, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def tensors(dtype=torch.float32):
    moves = [torch.full(shape, float("nan")) for shape in SHAPES]
    firsts, seconds = ([torch.zeros(shape, dtype=dtype) for shape in SHAPES] for _ in range(2))
    return moves, firsts, seconds, [torch.tensor(0.0) for _ in SHAPES]


@pytest.mark.parametrize("grad_dtype", [torch.float32, torch.bfloat16])
def test_the_moves_are_those_of_adam(grad_dtype):
    moves, firsts, seconds, steps = tensors()
    params = [torch.nn.Parameter(torch.zeros(shape)) for shape in SHAPES]
    optimizer = torch.optim.AdamW(params, lr=0.1, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.0)
    for step in range(3):
        grads = [random(shape, 10 * step + i, grad_dtype) for i, shape in enumerate(SHAPES)]
        before = [param.detach().clone() for param in params]
        for param, grad in zip(params, grads, strict=True):
            param.grad = grad.float()
        optimizer.step()
        adamw_moves_(moves, grads, firsts, seconds, steps, lr=0.1, betas=(0.8, 0.95), eps=1e-4)
        for move, param, old in zip(moves, params, before, strict=True):
            torch.testing.assert_close(move, param.detach() - old, rtol=1e-5, atol=1e-6)
    assert [step.item() for step in steps] == [3.0] * 3


def test_bfloat16_moments_are_near_and_repeatable():
    runs = []
    for dtype, seed in ((torch.float32, 0), (torch.bfloat16, 0), (torch.bfloat16, 0), (torch.bfloat16, 1)):
        moves, firsts, seconds, steps = tensors(dtype)
        for step in range(5):
            adamw_moves_(moves, [random(shape, step) for shape in SHAPES], firsts, seconds, steps, seed=seed)
        runs.append(torch.cat([move.flatten() for move in moves]))
    assert torch.equal(runs[1], runs[2])
    assert not torch.equal(runs[1], runs[3])
    torch.testing.assert_close(runs[1], runs[0], rtol=0.1, atol=0.02)


def replaced(index, tensor):
    def change(lists):
        lists[index][1] = tensor

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replaced(1, torch.zeros(300, 8).t()), r"gradient 1 must be contiguous in host memory with shape \(8, 300\)"),
        (replaced(2, torch.zeros(8, 30)), r"first moment 1 must be contiguous in host memory with shape \(8, 300\)"),
        (replaced(0, torch.zeros(8, 300, dtype=torch.bfloat16)), "move 1 must be float32 and its gradient float32, bf"),
        (
            replaced(3, torch.zeros(8, 300).bfloat16()),
            "the moments of gradient 1 must both be float32 or both bfloat16",
        ),
        (replaced(4, torch.tensor(0)), "step 1 must be a float32 scalar in host memory"),
    ],
)
def test_a_tensor_that_does_not_fit_is_refused_and_nothing_moves(change, message):
    moves, firsts, seconds, steps = tensors()
    lists = [moves, [random(shape, 1) for shape in SHAPES], firsts, seconds, steps]
    change(lists)
    with pytest.raises(ValueError, match=message.replace("bf", "bfloat16") if message.endswith("bf") else message):
        adamw_moves_(*lists)
    assert moves[0].isnan().all()
    assert steps[0].item() == 0
