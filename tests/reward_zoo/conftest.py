import pytest

from swift_core.plugin_api import InferRequest


@pytest.fixture
def grade():
    """Return a function from a reward, one response and its columns to the score."""

    def one(reward, response, truth=None, **columns):
        given = {name: [value] for name, value in columns.items()}
        if truth is not None:
            given["ground_truths"] = [truth]
        scores = reward([InferRequest(messages=[], response=response)], **given)
        assert len(scores) == 1
        return scores[0]

    return one
