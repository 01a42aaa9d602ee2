import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.scaled_gradient import ApolloReference
from tests.reference.trajectory import apply, assert_follows, gradients, parameter

from swift_optim_zoo.apollo import Apollo
from swift_optim_zoo.apollo_mini import ApolloMini


def draws(shape, rank, seed=1):
    """Yield the Gaussian projections of the first parameter, as the authors' code draws them."""
    while True:
        generator = torch.Generator().manual_seed(seed)
        if shape[0] >= shape[1]:
            drawn = torch.randn((rank, shape[1]), generator=generator).T
        else:
            drawn = torch.randn((shape[0], rank), generator=generator)
        yield drawn.double().numpy() / math.sqrt(rank)
        generator = torch.Generator().manual_seed(seed)
        seed = torch.randint(0, torch.iinfo(torch.int64).max, (15,), generator=generator).tolist()[-1]


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(3, 8),
    columns=st.integers(3, 8),
    rank=st.integers(1, 3),
    gap=st.integers(1, 4),
    scale=st.sampled_from([1.0, 128.0]),
    whole=st.booleans(),
    lr=st.floats(1e-4, 1e-1),
    betas=st.tuples(st.floats(0.0, 0.95), st.floats(0.5, 0.999)),
    weight_decay=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 1000),
)
def test_both_follow_the_reference(rows, columns, rank, gap, whole, seed, **options):
    options |= {"eps": 1e-6, "rank": rank}
    optimizer_class = ApolloMini if whole else Apollo
    assert_follows(
        lambda p: optimizer_class([p], update_proj_gap=gap, **options),
        lambda w: ApolloReference(w, draws=draws((rows, columns), rank), whole=whole, gap=gap, **options),
        (rows, columns),
        seed=seed,
        rtol=1e-8,
    )


def test_each_parameter_draws_its_own_projection():
    params = [parameter((6, 4)), parameter((6, 4)), parameter((6, 4))]
    optimizer = Apollo([{"params": params[:2]}, {"params": params[2:]}], rank=2)
    for param in params:
        param.grad = gradients((6, 4), 1)[0]
    optimizer.step()
    bases = [optimizer.state[param]["basis"] for param in params]
    assert not any(torch.equal(bases[a], bases[b]) for a, b in ((0, 1), (0, 2), (1, 2)))


def test_a_projection_lasts_for_its_gap():
    param = parameter((6, 4))
    optimizer = Apollo([param], rank=2, update_proj_gap=3)
    seen = []
    for grad in gradients((6, 4), 5):
        apply(optimizer, param, [grad])
        seen.append(optimizer.state[param]["basis"].clone())
    same = [torch.equal(a, b) for a, b in itertools.pairwise(seen)]
    assert same == [True, True, False, True]


@pytest.mark.parametrize(("optimizer_class", "num_kept"), [(Apollo, 2 * 20 * 256), (ApolloMini, 2 * 20 + 12)])
def test_the_mini_one_keeps_hardly_anything(optimizer_class, num_kept):
    shape = (20, 12) if optimizer_class is ApolloMini else (300, 256)
    param = parameter(shape, dtype=torch.float32)
    optimizer = optimizer_class([param])
    apply(optimizer, param, gradients(shape, 1, dtype=torch.float32))
    kept = sum(
        value.numel() for key, value in optimizer.state[param].items() if key in ("basis", "exp_avg", "exp_avg_sq")
    )
    assert kept == (num_kept if optimizer_class is ApolloMini else 2 * 300 * 256 + 256 * 256)
