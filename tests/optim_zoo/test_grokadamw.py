import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.grokadamw import GrokAdamWReference
from tests.reference.trajectory import apply, assert_follows, gradients, parameter

from swift_optim_zoo.grokadamw import GrokAdamW


@settings(max_examples=25, deadline=None)
@given(
    shape=st.sampled_from([(5,), (3, 4)]),
    lr=st.floats(1e-4, 1e-1),
    betas=st.tuples(st.floats(0.5, 0.95), st.floats(0.5, 0.999)),
    alpha=st.sampled_from([0.0, 0.5, 0.98]),
    lamb=st.floats(0.0, 4.0),
    gamma=st.sampled_from([0.0, 0.1]),
    gradient_clipping=st.sampled_from([0.0, 0.5, 100.0]),
    weight_decay=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(shape, seed, **options):
    options["eps"] = 1e-8
    assert_follows(lambda p: GrokAdamW([p], **options), lambda w: GrokAdamWReference(w, **options), shape, seed=seed)


def test_beta1_falls_from_a_parameter_of_a_group_to_the_next():
    weights, grads = [parameter((4, 3)) for _ in range(3)], gradients((4, 3), 5)
    options = {"lr": 1e-2, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1, "alpha": 0.9, "lamb": 2.0}
    options |= {"gamma": 0.3, "gradient_clipping": 1.0}
    oracles = [GrokAdamWReference(w.detach().numpy().copy(), **options, place=i) for i, w in enumerate(weights)]
    optimizer = GrokAdamW(weights, **options)
    for grad in grads:
        for weight, oracle in zip(weights, oracles, strict=True):
            weight.grad = grad.clone()
            oracle.step(grad.numpy())
        optimizer.step()
    for weight, oracle in zip(weights, oracles, strict=True):
        torch.testing.assert_close(weight.detach(), torch.from_numpy(oracle.weight), rtol=1e-10, atol=1e-12)
    assert not torch.equal(weights[0], weights[2])


def test_without_the_slow_mean_and_the_clip_it_is_nearly_adamw_of_torch():
    ours, theirs = parameter((5, 3)), parameter((5, 3))
    grads = gradients((5, 3), 6)
    apply(GrokAdamW([ours], lr=1e-2, lamb=0.0, gradient_clipping=0.0, eps=0.0, weight_decay=0.1), ours, grads)
    apply(torch.optim.AdamW([theirs], lr=1e-2, eps=0.0, weight_decay=0.1), theirs, grads)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("name", "value"), [("alpha", 1.0), ("gamma", -0.1), ("lamb", -1.0), ("gradient_clipping", -1.0)]
)
def test_refuses_an_option_out_of_range(name, value):
    with pytest.raises(ValueError, match=rf"{name} must be .*got {value}"):
        GrokAdamW([parameter((3,))], **{name: value})
