import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference.came import CameReference
from tests.reference.trajectory import apply, assert_follows, gradients, parameter

from swift_optim_zoo.came import Came


@settings(max_examples=40, deadline=None)
@given(
    shape=st.sampled_from([(5,), (3, 4), (4, 2), (2, 3, 4)]),
    lr=st.floats(1e-4, 1e-1),
    betas=st.tuples(st.floats(0.1, 0.95), st.floats(0.5, 0.999)),
    beta3=st.floats(0.5, 0.9999),
    eps_confidence=st.sampled_from([1e-16, 1e-3]),
    clip_threshold=st.sampled_from([0.5, 1.0]),
    weight_decay=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 1000),
)
def test_follows_the_reference(shape, seed, **options):
    assert_follows(lambda p: Came([p], **options), lambda w: CameReference(w, **options), shape, seed=seed, rtol=1e-7)


def test_a_matrix_keeps_its_momentum_and_two_rows_and_columns():
    param = parameter((6, 4))
    optimizer = Came([param])
    apply(optimizer, param, gradients((6, 4), 1))
    sizes = {key: value.numel() for key, value in optimizer.state[param].items()}
    rows = {"exp_avg_sq_row": 6, "exp_avg_sq_col": 4, "exp_avg_res_row": 6, "exp_avg_res_col": 4}
    assert sizes == {"exp_avg": 24} | rows


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta3": 1.0}, r"^beta3 must be in \[0, 1\), got 1.0$"),
        ({"eps_confidence": 0.0}, "^eps_confidence must be > 0, got 0.0$"),
        ({"clip_threshold": 0.0}, "^clip_threshold must be > 0, got 0.0$"),
    ],
)
def test_refuses_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        Came([parameter((4, 4))], **options)
