import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.muon import MuonReference
from tests.reference.trajectory import apply, assert_follows, gradients, parameter

from swift_optim_zoo.muon import Muon, orthogonalized


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(2, 7),
    columns=st.integers(2, 7),
    lr=st.floats(1e-4, 1e-1),
    momentum=st.sampled_from([0.0, 0.95]),
    nesterov=st.booleans(),
    ns_steps=st.integers(1, 6),
    adjust_lr_fn=st.sampled_from(["match_rms_adamw", "original"]),
    weight_decay=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(rows, columns, seed, **options):
    assert_follows(
        lambda p: Muon([p], ns_dtype="state", **options),
        lambda w: MuonReference(w, **options),
        (rows, columns),
        seed=seed,
        rtol=1e-7,
        atol=1e-9,
    )


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch below 2.9 has no Muon")
@pytest.mark.parametrize("nesterov", [True, False])
@pytest.mark.parametrize("adjust_lr_fn", ["match_rms_adamw", "original"])
@pytest.mark.parametrize("shape", [(12, 8), (6, 10)])
def test_matrices_move_bit_for_bit_as_under_muon_of_torch(shape, nesterov, adjust_lr_fn):
    options = {"lr": 1e-2, "weight_decay": 0.1, "nesterov": nesterov, "adjust_lr_fn": adjust_lr_fn}
    grads = gradients(shape, 8, dtype=torch.float32)
    ours, theirs = parameter(shape, dtype=torch.float32), parameter(shape, dtype=torch.float32)
    apply(Muon([ours], **options), ours, grads)
    apply(torch.optim.Muon([theirs], **options), theirs, grads)
    assert torch.equal(ours, theirs)


def test_embeddings_and_vectors_move_as_under_adamw_of_torch():
    shapes = {"embed_tokens.weight": (9, 4), "layers.0.norm.weight": (4,), "layers.0.conv.weight": (3, 2, 2)}
    for name, shape in shapes.items():
        ours, theirs = parameter(shape), parameter(shape)
        grads = gradients(shape, 6)
        apply(Muon([(name, ours)], lr=1e-2, weight_decay=0.1), ours, grads)
        apply(torch.optim.AdamW([theirs], lr=1e-2, weight_decay=0.1), theirs, grads)
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


def test_singular_values_come_near_one():
    singular = torch.linalg.svdvals(orthogonalized(parameter((8, 20)).detach(), num_steps=5))
    assert singular.min() > 0.5
    assert singular.max() < 1.3


def test_a_matrix_keeps_one_state_per_weight():
    param = parameter((6, 4))
    optimizer = Muon([param])
    apply(optimizer, param, gradients((6, 4), 1))
    assert list(optimizer.state[param]) == ["momentum_buffer"]


def test_a_gradient_of_zeros_moves_nothing():
    param = parameter((6, 4))
    start = param.detach().clone()
    apply(Muon([param], lr=0.1), param, [torch.zeros(6, 4, dtype=torch.float64)])
    assert torch.equal(param, start)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ns_steps": 0}, "ns_steps must be an integer >= 1, got 0"),
        ({"ns_steps": 100}, r"ns_steps must be in \[1, 100\), got 100"),
        ({"ns_coefficients": (1.0, 2.0)}, r"ns_coefficients must be three numbers, got \[1.0, 2.0\]"),
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\), got 1.0"),
        ({"ns_dtype": "half"}, "ns_dtype must be one of bfloat16, state, got half"),
        ({"adjust_lr_fn": "none"}, "adjust_lr_fn must be one of match_rms_adamw, original, got none"),
    ],
)
def test_refuses_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Muon([parameter((4, 4))], **options)
