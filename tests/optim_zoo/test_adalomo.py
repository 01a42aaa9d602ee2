import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.adalomo import AdaLomoReference
from tests.reference.trajectory import apply, assert_follows, parameter

from swift_optim_zoo.adalomo import AdaLomo


@settings(max_examples=40, deadline=None)
@given(
    shape=st.sampled_from([(5,), (3, 4), (4, 2), (2, 3, 4)]),
    lr=st.floats(1e-4, 1e-1),
    clip_threshold=st.sampled_from([0.5, 1.0]),
    decay_rate=st.sampled_from([-0.8, -0.5]),
    clip_value=st.sampled_from([0.0, 0.5]),
    eps_scale=st.sampled_from([1e-3, 10.0]),
    weight_decay=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(shape, seed, **options):
    assert_follows(lambda p: AdaLomo([p], **options), lambda w: AdaLomoReference(w, **options), shape, seed=seed)


def test_the_first_step_of_equal_gradients_moves_by_lr_times_the_root_mean_square():
    param = torch.nn.Parameter(torch.full((2, 2), 3.0))
    apply(AdaLomo([param], lr=0.1), param, [torch.full((2, 2), 5.0)])
    torch.testing.assert_close(param.detach(), torch.full((2, 2), 2.7))


def test_refuses_a_decay_rate_that_never_forgets():
    with pytest.raises(ValueError, match=r"^decay_rate must be in \[-1, 0\), got 0.0$"):
        AdaLomo([parameter((4, 4))], decay_rate=0.0)
