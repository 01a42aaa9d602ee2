import math

import pytest

from swift_core.assemble.rewards import adapt_reward
from swift_core.builtins.orm_accuracy import OrmAccuracy
from swift_core.contracts.handover import RewardPart
from swift_core.contracts.metric import Generations
from swift_core.contracts.reward import InferRequest


def part(name, scores, weight=1.0):
    return RewardPart(name=name, weight=weight, score=adapt_reward(name, lambda completions: scores))


def generations(*rewards, count=4, **columns):
    requests = [InferRequest(messages=[], response=str(index)) for index in range(count)]
    truths = [str(index) for index in range(count)]
    return Generations(infer_requests=requests, ground_truths=truths, expected=truths, columns=columns, rewards=rewards)


def test_one_reward_gives_its_mean():
    assert OrmAccuracy().compute(generations(part("math", [1, 0, 1, 1]))) == {"orm_accuracy": 0.75}


def test_several_rewards_give_the_weighted_mean_and_each_by_name():
    evaluation = generations(part("math", [1, 1, 1, 0], weight=3.0), part("brief", [0, 0, 0, 1], weight=1.0))
    assert OrmAccuracy().compute(evaluation) == {
        "orm_accuracy": pytest.approx((3 * 0.75 + 0.25) / 4),
        "orm_accuracy_math": 0.75,
        "orm_accuracy_brief": 0.25,
    }


def test_a_reward_of_weight_zero_is_reported_only():
    evaluation = generations(part("math", [1, 1, 1, 0]), part("brief", [0, 0, 0, 0], weight=0.0))
    assert OrmAccuracy().compute(evaluation)["orm_accuracy"] == 0.75


def test_a_negative_weight_takes_away():
    evaluation = generations(part("math", [1, 1, 1, 1]), part("long", [1, 1, 0, 0], weight=-1.0))
    assert OrmAccuracy().compute(evaluation)["orm_accuracy"] == pytest.approx((1 - 0.5) / 2)


def test_abstentions_are_left_out_and_counted():
    assert OrmAccuracy().compute(generations(part("math", [1, None, 0, None]))) == {
        "orm_accuracy": 0.5,
        "orm_abstained": 2.0,
    }


def test_a_reward_that_abstains_from_all_gives_no_mean():
    evaluation = generations(part("math", [None] * 4), part("brief", [1, 1, 0, 0]))
    assert OrmAccuracy().compute(evaluation) == {"orm_accuracy": 0.5, "orm_accuracy_brief": 0.5, "orm_abstained": 4.0}


def test_rewards_get_the_columns_of_the_data():
    def reward(completions, level):
        return [float(value) for value in level]

    evaluation = generations(RewardPart(name="r", weight=1.0, score=adapt_reward("r", reward)), level=[1, 2, 3, 4])
    assert OrmAccuracy().compute(evaluation) == {"orm_accuracy": 2.5}


@pytest.mark.parametrize(
    ("scores", "message"), [([1.0], "1 scores for 4 answers"), ([math.nan] * 4, "answer 0 as nan")]
)
def test_broken_scores_are_refused_with_the_name_of_the_reward(scores, message):
    with pytest.raises(ValueError, match=f"^reward 'math' .*{message}"):
        OrmAccuracy().compute(generations(part("math", scores)))


@pytest.mark.parametrize(
    ("scores", "message"), [([1.0], "1 scores for 4 answers"), ([math.nan] * 4, "answer 0 as nan")]
)
def test_scores_of_an_unadapted_reward_are_checked_too(scores, message):
    bare = RewardPart(name="math", weight=1.0, score=lambda infer_requests, ground_truths: scores)
    with pytest.raises(ValueError, match=f"^reward 'math' .*{message}"):
        OrmAccuracy().compute(generations(bare))


def test_says_what_to_do_without_rewards():
    with pytest.raises(ValueError, match=r"^orm_accuracy needs a reward: name one in reward\.orms$"):
        OrmAccuracy().compute(generations())


def test_is_scored_by_the_math_reward_of_the_zoo():
    from swift_reward_zoo.answer.math import Math

    math_part = RewardPart(name="math", weight=1.0, score=adapt_reward("math", Math()))
    assert OrmAccuracy().compute(generations(math_part)) == {"orm_accuracy": 1.0}
