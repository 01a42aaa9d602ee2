import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.ademamix import AdEMAMixReference
from tests.reference.trajectory import apply, assert_follows, gradients, parameter

from swift_optim_zoo.ademamix import AdEMAMix, slow_decay


@settings(max_examples=25, deadline=None)
@given(
    shape=st.sampled_from([(5,), (3, 4)]),
    lr=st.floats(1e-4, 1e-1),
    betas=st.tuples(st.floats(0.5, 0.95), st.floats(0.5, 0.999)),
    beta3=st.sampled_from([0.99, 0.9999]),
    alpha=st.floats(0.0, 8.0),
    alpha_warmup=st.sampled_from([0, 3, 20]),
    beta3_warmup=st.sampled_from([0, 3, 20]),
    weight_decay=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(shape, seed, **options):
    options["eps"] = 1e-8
    assert_follows(lambda p: AdEMAMix([p], **options), lambda w: AdEMAMixReference(w, **options), shape, seed=seed)


def test_without_the_slow_mean_it_is_adamw_of_torch():
    ours, theirs = parameter((5, 3)), parameter((5, 3))
    grads = gradients((5, 3), 6)
    apply(AdEMAMix([ours], lr=1e-2, alpha=0.0, weight_decay=0.1), ours, grads)
    apply(torch.optim.AdamW([theirs], lr=1e-2, weight_decay=0.1), theirs, grads)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


def test_the_slow_mean_slows_down_from_beta1_to_beta3():
    decays = [slow_decay(step, 0.9, 0.999, 10) for step in range(12)]
    assert decays[0] == pytest.approx(0.9)
    assert decays[:11] == sorted(decays[:11])
    assert decays[10] == decays[11] == 0.999


def test_refuses_a_warm_up_from_beta1_zero():
    with pytest.raises(ValueError, match=r"^beta3_warmup needs 0 < beta1 <= beta3, got beta1 0.0 and beta3 0.9999$"):
        AdEMAMix([parameter((3,))], betas=(0.0, 0.9), beta3_warmup=5)
