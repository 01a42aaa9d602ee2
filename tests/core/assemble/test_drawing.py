import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.assemble.drawing import OwnNumbers, drawing
from swift_core.contracts.engine import SamplingParams

PROBABILITIES = torch.tensor([0.5, 0.0, 0.3, 0.15, 0.05])


def shares(processors, scores, num_rows):
    """Return how often each token is drawn, by its place in the vocabulary."""
    out = processors(torch.zeros(num_rows, 1, dtype=torch.long), scores.expand(num_rows, -1).clone())
    return torch.bincount(out.argmax(-1), minlength=scores.shape[-1]) / num_rows


def test_tokens_are_drawn_as_often_as_they_are_probable():
    num_rows = 20_000
    found = shares(OwnNumbers(range(num_rows), 1, 1, "cpu"), PROBABILITIES.log(), num_rows)

    deviation = (PROBABILITIES * (1 - PROBABILITIES) / num_rows).sqrt()
    assert bool(((found - PROBABILITIES).abs() <= 4 * deviation).all())
    assert found[1] == 0


def test_temperature_and_limits_come_before_the_draw():
    params = SamplingParams(temperature=0.5, top_k=2, max_tokens=1)
    found = shares(drawing(params, range(20_000), 1, "cpu"), PROBABILITIES.log(), 20_000)

    squares = torch.tensor([0.5**2, 0.0, 0.3**2, 0.0, 0.0])  # half the temperature squares them
    assert found == pytest.approx((squares / squares.sum()).numpy(), abs=0.015)
    nucleus = SamplingParams(top_p=0.7, max_tokens=1)
    assert shares(drawing(nucleus, range(2000), 1, "cpu"), PROBABILITIES.log(), 2000)[3:].sum() == 0


@given(number=st.floats(0, 1, exclude_max=True), logits=st.lists(st.floats(-40, 40), min_size=1, max_size=30))
def test_the_token_is_the_one_whose_part_of_the_line_holds_the_number(number, logits):
    scores = torch.tensor([logits])
    processor = OwnNumbers([0], 1, 4, "cpu")
    processor._numbers = torch.tensor([[number]], dtype=torch.float64)

    drawn = int(processor(torch.zeros(1, 4), scores).argmax())

    parts = scores.softmax(-1)[0].double()
    before = parts[:drawn].sum()
    assert before - 1e-9 <= number * parts.sum() <= before + parts[drawn] + 1e-9
    assert parts[drawn] > 0


def test_numbers_of_a_row_follow_from_its_seed_alone():
    alone, among = OwnNumbers([7], 5, 0, "cpu"), OwnNumbers([3, 7, 9], 5, 0, "cpu")
    assert torch.equal(alone._numbers[0], among._numbers[1])
    assert len(set(among._numbers.flatten().tolist())) == 15
