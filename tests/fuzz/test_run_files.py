"""No run file gives a traceback, and every wrong value is refused at its line. `nox -s faults` tries 10,000 of them."""

import pytest
from tests.fuzz.run_files import mutants, verdict


@pytest.fixture(scope="module")
def answers():
    """The answers to 300 run files with a mistake."""
    return [(mutant, verdict(mutant)) for mutant in mutants(300, seed=1)]


def test_every_wrong_value_is_refused_at_its_place_and_nothing_is_a_traceback(answers):
    wrong = [f"{answer}\n{mutant.text}" for mutant, answer in answers if answer not in ("refused", "planned")]
    assert not wrong, wrong[0]


def test_most_of_them_must_be_refused(answers):
    assert sum(bool(mutant.path) for mutant, _ in answers) > 150
