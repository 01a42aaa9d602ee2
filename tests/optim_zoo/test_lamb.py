import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.lamb import LambReference
from tests.reference.trajectory import apply, assert_follows, gradients, parameter

from swift_optim_zoo.lamb import Lamb


@settings(max_examples=25, deadline=None)
@given(
    shape=st.sampled_from([(5,), (3, 4)]),
    lr=st.floats(1e-4, 1e-1),
    betas=st.tuples(st.floats(0.0, 0.95), st.floats(0.5, 0.999)),
    weight_decay=st.sampled_from([0.0, 0.1]),
    correct_bias=st.booleans(),
    adapt_undecayed=st.booleans(),
    trust_clip=st.booleans(),
    max_weight_norm=st.sampled_from([0.0, 1.5]),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(shape, seed, **options):
    options["eps"] = 1e-6
    assert_follows(lambda p: Lamb([p], **options), lambda w: LambReference(w, **options), shape, seed=seed)


def test_a_layer_moves_by_the_learning_rate_times_its_norm():
    param = parameter((6, 4))
    start = param.detach().clone()
    apply(Lamb([param], lr=0.05), param, gradients((6, 4), 1))
    torch.testing.assert_close((param - start).norm(), 0.05 * start.norm())


def test_weights_of_zero_start_to_move():
    param = torch.nn.Parameter(torch.zeros(3))
    apply(Lamb([param], lr=0.5), param, [torch.ones(3)])
    torch.testing.assert_close(param.detach(), torch.full((3,), -0.5))
