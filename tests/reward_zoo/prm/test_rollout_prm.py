"""The share of continuations of each step that end right."""

import pytest

from swift_core.plugin_api import InferRequest
from swift_reward_zoo.prm.rollout_prm import RolloutPrm

ANSWER = "Step 1: 3 + 4 = 7.\nStep 2: 7 * 2 = 15.\nStep 3: So it is 15."


class Writer:
    """Continues right three times of four while the second step is not there, and never afterwards."""

    def __init__(self):
        self.asked = []

    def answers(self, prompts, begun, params):
        self.asked += list(zip(prompts, begun, strict=True))
        assert params.num_answers == 4
        ends = [" so \\boxed{14}"] * 3 + [" so \\boxed{9}"]
        return [[" so \\boxed{15}"] * 4 if "15" in start else ends for start in begun]


def request(answer):
    turns = [{"role": "user", "content": "Twice 3 + 4?"}, {"role": "assistant", "content": answer}]
    return InferRequest(messages=turns, response=answer)


@pytest.mark.parametrize(("estimate", "first"), [("soft", 0.75), ("hard", 1.0)])
def test_a_step_is_worth_the_right_continuations_and_the_last_what_the_answer_is(estimate, first, tiny_folder):
    prm = RolloutPrm(model=str(tiny_folder), estimate=estimate)
    prm._generator = Writer()
    assert prm([request(ANSWER), request(""), request("\\boxed{14}")], ["14"] * 3) == [[first, 0.0, 0.0], [], [1.0]]
    assert [begun for _, begun in prm._generator.asked] == [ANSWER[:19], ANSWER[:39]]
    assert prm._generator.asked[0][0] == [{"role": "user", "content": "Twice 3 + 4?"}]


def test_a_model_continues_through_an_engine(tiny_folder):
    prm = RolloutPrm(model=str(tiny_folder), num_rollouts=2, max_tokens=4, grader="exact_match", style="lines")
    requests = [request("a\nb\nc")]
    first = prm(requests, ["a\nb\nc"])
    assert first == prm(requests, ["a\nb\nc"])
    assert first[0][-1] == 1.0
    assert len(first[0]) == 3


def test_what_cannot_be_is_refused_before_anything_is_scored(tiny_folder):
    with pytest.raises(ValueError, match="num_rollouts must be > 0"):
        RolloutPrm(model="m", num_rollouts=0)
    with pytest.raises(ValueError, match="grader must be one of"):
        RolloutPrm(model="m", grader="length")
    with pytest.raises(ValueError, match="no engine named 'nothing'"):
        RolloutPrm(model=str(tiny_folder), engine="nothing")
    with pytest.raises(ValueError, match="nowhere"):
        RolloutPrm(model="nowhere")
