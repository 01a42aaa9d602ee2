"""Lion in native code against its paper, one array operation at a time in double precision."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swift_native import Lion


def random(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 9), max_size=3).map(tuple),
    lr=st.sampled_from([0.0, 1e-3, 0.1]),
    betas=st.sampled_from([(0.9, 0.99), (0.0, 0.5), (0.5, 0.0)]),
    decay=st.sampled_from([0.0, 0.3]),
    maximize=st.booleans(),
    seed=st.integers(0, 100),
)
def test_matches_algorithm_2_of_the_paper(shape, lr, betas, decay, maximize, seed):
    param = torch.nn.Parameter(random(shape, seed))
    weight, momentum = param.detach().double(), torch.zeros(shape, dtype=torch.float64)
    optimizer = Lion([param], lr=lr, betas=betas, weight_decay=decay, maximize=maximize)
    for step in range(4):
        param.grad = random(shape, seed + step + 1)
        grad = param.grad.double() * (-1 if maximize else 1)
        update = torch.sign(betas[0] * momentum + (1 - betas[0]) * grad)
        momentum = betas[1] * momentum + (1 - betas[1]) * grad
        weight = weight - lr * (update + decay * weight)
        optimizer.step()
    torch.testing.assert_close(param.detach().double(), weight, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(optimizer.state[param]["exp_avg"].double(), momentum, rtol=1e-5, atol=1e-6)


def test_a_weight_without_direction_stays_and_nan_shows():
    param = torch.nn.Parameter(torch.ones(4))
    param.grad = torch.tensor([0.0, -0.0, float("nan"), 1e-40])
    Lion([param], lr=0.5).step()
    assert param[:2].tolist() == [1.0, 1.0]
    assert param[2].isnan()
    assert param[3].item() == 0.5


def test_one_state_is_kept():
    param = torch.nn.Parameter(torch.ones(4))
    param.grad = torch.ones(4)
    optimizer = Lion([param])
    optimizer.step()
    assert optimizer.state[param].keys() == {"step", "exp_avg"}


def test_a_wrong_option_is_an_error_with_the_value():
    with pytest.raises(ValueError, match=r"^betas\[1\] must be in \[0, 1\), got 1\.0$"):
        Lion([torch.nn.Parameter(torch.ones(1))], betas=(0.9, 1.0))
