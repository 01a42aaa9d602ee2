import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.adam_mini import AdamMiniReference
from tests.reference.trajectory import apply, assert_follows, gradients, parameter

from swift_optim_zoo.adam_mini import AdamMini

ROWS = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
HEADS = [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
BLOCKS = {
    "layers.0.self_attn.q_proj.weight": ((4, 3), HEADS),
    "layers.0.self_attn.k_proj.weight": ((4, 3), HEADS),
    "layers.0.self_attn.v_proj.weight": ((4, 3), ROWS),
    "model.embed_tokens.weight": ((4, 3), ROWS),
    "layers.0.mlp.up_proj.weight": ((4, 3), ROWS),
    "layers.0.norm.weight": ((4,), [[0, 1, 2, 3]]),
    "layers.0.mlp.up_proj.bias": ((4,), [[0], [1], [2], [3]]),
}


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(BLOCKS)),
    lr=st.floats(1e-4, 1e-1),
    betas=st.tuples(st.floats(0.0, 0.95), st.floats(0.5, 0.999)),
    weight_decay=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(name, seed, **options):
    options["eps"] = 1e-8
    shape, blocks = BLOCKS[name]

    def make(param):
        return AdamMini([(name, param)], head_size=2, **options)

    assert_follows(make, lambda w: AdamMiniReference(w, blocks=blocks, **options), shape, seed=seed)


def test_a_bias_moves_as_under_adamw_of_torch():
    ours, theirs = parameter((5,)), parameter((5,))
    grads = gradients((5,), 6)
    apply(AdamMini([("fc.bias", ours)], lr=1e-2, weight_decay=0.1), ours, grads)
    apply(torch.optim.AdamW([theirs], lr=1e-2, weight_decay=0.1), theirs, grads)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("head_size", "num_moments"), [(0, 8), (1, 8), (4, 2), (3, 8)])
def test_second_moments_are_as_many_as_heads_or_else_rows(head_size, num_moments):
    param = parameter((8, 6))
    optimizer = AdamMini([("q_proj.weight", param)], head_size=head_size)
    apply(optimizer, param, gradients((8, 6), 1))
    assert optimizer.state[param]["exp_avg_sq"].numel() == num_moments


@pytest.mark.parametrize(("other_blocks", "num_moments"), [("row", 8), ("tensor", 1)])
def test_a_matrix_whose_name_says_nothing_has_a_moment_per_row_or_one(other_blocks, num_moments):
    param, known = parameter((8, 6)), parameter((8, 6))
    optimizer = AdamMini([("w1.weight", param), ("mlp.up.weight", known)], other_blocks=other_blocks)
    apply(optimizer, param, gradients((8, 6), 1))
    apply(optimizer, known, gradients((8, 6), 1))
    assert optimizer.state[param]["exp_avg_sq"].numel() == num_moments
    assert optimizer.state[known]["exp_avg_sq"].numel() == 8


def test_refuses_a_head_size_that_is_no_count():
    with pytest.raises(ValueError, match=r"^head_size must be an integer >= 0, got -1$"):
        AdamMini([parameter((3,))], head_size=-1)
