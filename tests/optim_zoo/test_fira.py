import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.scaled_gradient import FiraReference
from tests.reference.trajectory import apply, assert_follows, gradients, parameter

from swift_optim_zoo.fira import Fira


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(3, 8),
    columns=st.integers(3, 8),
    rank=st.integers(1, 2),
    gap=st.integers(1, 4),
    scale=st.sampled_from([1.0, 0.25]),
    lr=st.floats(1e-4, 1e-1),
    betas=st.tuples(st.floats(0.0, 0.95), st.floats(0.5, 0.999)),
    weight_decay=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(rows, columns, rank, gap, seed, **options):
    options |= {"eps": 1e-6, "rank": rank}
    assert_follows(
        lambda p: Fira([p], update_proj_gap=gap, refresh="exact", moments="keep", **options),
        lambda w: FiraReference(w, gap=gap, **options),
        (rows, columns),
        seed=seed,
        rtol=1e-8,
    )


def test_uses_what_the_projection_leaves_out():
    param = torch.nn.Parameter(torch.zeros(2, 2))
    apply(Fira([param], lr=0.1, rank=1), param, [torch.tensor([[2.0, 1.0], [1.0, 2.0]])])
    inside, outside = -0.1 / math.sqrt(2), -0.1 / 3 / math.sqrt(2)  # the gradient is 1.5 along the basis, 0.5 across
    torch.testing.assert_close(param[0, 0].item(), inside + outside, rtol=1e-4, atol=0)
    torch.testing.assert_close(param[0, 1].item(), inside - outside, rtol=1e-4, atol=0)


def test_states_are_those_of_galore_and_one_norm():
    param = parameter((20, 12))
    optimizer = Fira([param], rank=3)
    apply(optimizer, param, gradients((20, 12), 2))
    sizes = {key: value.numel() for key, value in optimizer.state[param].items()}
    assert sizes == {
        "basis_right": 36,
        "exp_avg": 60,
        "exp_avg_sq": 60,
        "step": 1,
        "norm": 1,
        "refresh_at": 1,
        "energy": 1,
    }
