"""Which answers are kept: checked against searching all of them."""

from hypothesis import given
from hypothesis import strategies as st

from swift_core.sampling.choose import (
    SELECTORS,
    Candidate,
    best_of_n,
    distinct,
    majority,
    weighted_majority,
    worst_of_n,
)

candidates = st.lists(
    st.builds(
        Candidate,
        text=st.sampled_from("abcd"),
        reward=st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0])),
        key=st.one_of(st.none(), st.sampled_from("xy")),
        finished=st.booleans(),
    ),
    max_size=7,
)


@given(candidates)
def test_the_best_is_the_first_finished_one_with_the_largest_reward(given_ones):
    chosen = best_of_n(given_ones)
    usable = [i for i, c in enumerate(given_ones) if c.finished and c.reward is not None]
    if not usable:
        assert chosen is None
        return
    largest = max(given_ones[i].reward for i in usable)
    assert chosen == next(i for i in usable if given_ones[i].reward == largest)
    smallest = min(given_ones[i].reward for i in usable)
    assert worst_of_n(given_ones) == next(i for i in usable if given_ones[i].reward == smallest)


@given(candidates)
def test_most_votes_win_and_ties_go_to_what_was_said_first(given_ones):
    chosen = majority(given_ones)
    said = [c.key for c in given_ones if c.finished and c.key is not None]
    if not said:
        assert chosen is None
        return
    most = max(said.count(key) for key in said)
    assert given_ones[chosen].key == next(key for key in said if said.count(key) == most)


@given(candidates)
def test_weighted_votes_are_rewards(given_ones):
    chosen = weighted_majority(given_ones)
    said = [c for c in given_ones if c.finished and c.key is not None]
    if not said:
        assert chosen is None
        return
    totals = {key: sum(c.reward or 0.0 for c in said if c.key == key) for key in (c.key for c in said)}
    assert totals[given_ones[chosen].key] == max(totals.values())


@given(candidates)
def test_the_first_of_each_text_is_kept(given_ones):
    texts = [given_ones[index].text for index in distinct(given_ones)]
    assert len(texts) == len(set(texts)) == len({c.text for c in given_ones})
    assert texts == list(dict.fromkeys(c.text for c in given_ones))


def test_an_answer_that_was_cut_is_never_chosen():
    cut = Candidate("a", 1.0, "x", finished=False)
    whole = Candidate("b", 0.0, "y", finished=True)
    assert all(select([cut, cut, whole]) == 2 for select in SELECTORS.values())
