import pytest
import torch

from swift_optim_zoo._targets import is_target, name_matches

EMBEDDINGS = ("embed", "lm_head")


@pytest.mark.parametrize(
    ("name", "patterns", "expected"),
    [
        ("model.layers.0.self_attn.q_proj.weight", ["*"], True),
        ("model.layers.0.self_attn.q_proj.weight", ["attn", "mlp"], True),
        ("model.layers.0.self_attn.q_proj.weight", ["mlp"], False),
        ("model.layers.0.mlp.up_proj.weight", ["*.mlp.*"], True),
        ("model.layers.0.mlp.up_proj.weight", ["mlp.*"], False),
        ("model.layers.0.mlp.up_proj.weight", [], False),
    ],
)
def test_a_glob_fits_the_whole_name_and_a_word_any_part(name, patterns, expected):
    assert name_matches(name, patterns) is expected


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("layers.0.mlp.up.weight", (8, 4), True),
        ("", (8, 4), True),
        ("layers.0.mlp.up.weight", (8, 3), False),
        ("layers.0.mlp.up.bias", (8,), False),
        ("conv.weight", (8, 8, 8), False),
        ("embed_tokens.weight", (8, 8), False),
    ],
)
def test_a_target_is_a_large_enough_matrix_that_is_not_excluded(name, shape, expected):
    assert is_target(name, torch.zeros(shape), rank=4, include=("*",), exclude=EMBEDDINGS) is expected
