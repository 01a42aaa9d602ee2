import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.adopt import AdoptReference
from tests.reference.trajectory import apply, assert_follows

from swift_optim_zoo.adopt import Adopt


@settings(max_examples=25, deadline=None)
@given(
    shape=st.sampled_from([(5,), (3, 4)]),
    lr=st.floats(1e-4, 1e-1),
    betas=st.tuples(st.floats(0.0, 0.95), st.floats(0.0, 0.9999)),
    eps=st.sampled_from([1e-6, 0.5]),
    weight_decay=st.sampled_from([0.0, 0.1]),
    clip=st.booleans(),
    clip_power=st.sampled_from([0.25, 0.333]),
    decoupled_decay=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(shape, seed, **options):
    assert_follows(lambda p: Adopt([p], **options), lambda w: AdoptReference(w, **options), shape, seed=seed)


def test_the_first_step_only_measures():
    param = torch.nn.Parameter(torch.tensor([1.0]))
    optimizer = Adopt([param], lr=0.5, betas=(0.0, 0.9), weight_decay=0.1)
    apply(optimizer, param, [torch.tensor([2.0])])
    assert param.item() == 1.0
    assert optimizer.state[param]["exp_avg_sq"].item() == 4.0


def test_the_second_step_is_bounded_by_the_learning_rate():
    param = torch.nn.Parameter(torch.tensor([0.0]))
    apply(Adopt([param], lr=0.5, betas=(0.0, 0.9)), param, [torch.tensor([1.0]), torch.tensor([100.0])])
    assert param.item() == -0.5
