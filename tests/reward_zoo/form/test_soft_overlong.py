import pytest

from swift_reward_zoo.form.soft_overlong import SoftOverlong


@pytest.mark.parametrize(
    ("length", "score"), [(0, 0.0), (800, 0.0), (900, -0.5), (1000, -1.0), (1200, -1.0), (5000, -1.0)]
)
def test_falls_to_minus_one_and_no_further(grade, length, score):
    value = grade(SoftOverlong(max_length=1000, cache_length=200), "", response_token_ids=[0] * length)
    assert value == pytest.approx(score)
    assert type(value) is float


def test_lengths_are_characters_without_token_ids(grade):
    assert grade(SoftOverlong(max_length=10, cache_length=10), "12345") == -0.5


@pytest.mark.parametrize("lengths", [(0, 1), (10, 0), (10, 11)])
def test_refuses_lengths_that_make_no_sense(lengths):
    with pytest.raises(ValueError, match=r"^(?:max|cache)_length must be "):
        SoftOverlong(max_length=lengths[0], cache_length=lengths[1])
