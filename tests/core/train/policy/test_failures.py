"""Failures of rewards in training: counted by kind over all processes, masked, told, and judged alike everywhere."""

import pytest
import torch

from swift_core.assemble.failures import FailurePolicy, FailureTally, counts_of, decide, tally_of
from swift_core.assemble.rewards import AdaptedReward, adapt_reward
from swift_core.contracts.handover import RewardPart
from swift_core.contracts.reward import report_failure
from swift_core.errors import Problem, SwiftError
from swift_core.train.ledger import Ledger
from swift_core.train.policy.agreement import agree, counted, decide_failures, go_on_from
from swift_loss_zoo.policy.grpo import GRPO


def failing(*rows, kind="timeout", **policy):
    """A reward of the length of an answer that fails on `rows` of every call."""

    def reward(completions):
        for row in rows:
            report_failure(row, kind, "late")
        return [None if row in rows else float(len(text)) for row, text in enumerate(completions)]

    adapted: AdaptedReward = adapt_reward("flaky", reward)
    object.__setattr__(adapted, "policy", FailurePolicy(**{"on_error": "mask", "max_failure_rate": 0.5, **policy}))
    return [RewardPart("flaky", 1.0, adapted)]


def test_failed_answers_are_masked_counted_by_kind_and_no_abstentions(make_trainer):
    trainer = make_trainer(GRPO(beta=0.0), rewards=failing(1, 3), max_steps=2)
    (batch,) = trainer.prepare_step([{"prompts": [trainer.parts.train_dataset[0]]}])
    scale = 2.0 / (torch.tensor([1.0, 3.0]).std() + 1e-4) / 2
    torch.testing.assert_close(batch["advantages"], torch.tensor([-scale, 0.0, scale, 0.0]))
    trainer._since_log.clear()
    trainer.train()
    first, second = [line for line in trainer.state.log_history if "reward" in line]
    assert first["failed/flaky"] == second["failed/flaky"] == 0.25
    assert "abstained/flaky" not in first
    assert (first["failures/flaky/timeout"], second["failures/flaky/timeout"]) == (4.0, 6.0)  # of all steps so far


def test_a_rate_above_the_limit_stops_the_run_once_the_step_is_scored(make_trainer):
    trainer = make_trainer(GRPO(beta=0.0), rewards=failing(*range(8), max_failure_rate=0.1))
    message = r"failed on 8 of 8 answers \(8 timeout; the first: late\), and reward.max_failure_rate is 0.1"
    with pytest.raises(SwiftError, match=message):
        trainer.train()


def tally(scored, **kinds):
    return FailureTally(scored, kinds)


@pytest.mark.parametrize("policy", [{"on_error": "raise"}, {"on_error": "mask", "max_failure_rate": 0.05}])
def test_the_sums_of_ranks_decide_and_not_what_one_of_them_saw(policy):
    ranks = [tally(50, timeout=5), tally(50)], [tally(100), tally(100, crash=1, network=2)]
    rows = torch.tensor([counts_of(rank) for rank in ranks]).sum(0).tolist()
    sums = [tally_of(row) for row in rows]
    assert sums == [tally(150, timeout=5), tally(150, crash=1, network=2)]
    decisions = [decide("r", FailurePolicy(**policy), each) for each in sums]
    assert [decision is not None for decision in decisions] == [policy["on_error"] == "raise"] * 2
    assert decide("r", FailurePolicy(**policy), ranks[0][0]) is not None  # alone this rank would have stopped


def test_every_rank_raises_when_one_cannot_go_on():
    own = SwiftError(Problem("reward-failed", "broken row."))
    with pytest.raises(SwiftError, match="broken row"):
        agree(own, lambda value: value + 0)
    with pytest.raises(SwiftError, match="another process of this run"):
        agree(None, lambda value: value + 1)
    agree(None, lambda value: value)


def test_the_decision_is_that_of_the_reduced_counts():
    rewards = failing(max_failure_rate=0.1)
    rewards[0].score.tally.add(100, {})
    assert decide_failures(rewards, lambda counts: counts) == {}
    others = torch.zeros(1, 7, dtype=torch.float64)
    others[0, 0], others[0, 4] = 100, 20  # another rank: 20 of 100 failed by memory
    assert decide_failures(rewards, lambda counts: counts + others) == {"failures/flaky/memory": 20.0}
    others[0, 4] = 21
    with pytest.raises(SwiftError, match=r"21 of 200 answers \(21 memory\)"):
        decide_failures(rewards, lambda counts: counts + others)


def test_a_mean_is_over_all_ranks_also_where_this_one_has_nothing_of_it():
    ledger = Ledger()
    ledger.add_values({"here": torch.tensor([1.0, 3.0])})
    others = torch.tensor([[10.0, 4.0], [2.0, 1.0], [0.0, 0.0]], dtype=torch.float64)  # sums and counts of another rank
    means = ledger.means(lambda sums: sums + others, ["there", "here", "nowhere"])
    assert means == {"there": 2.5, "here": 2.0}
    assert Ledger().means(lambda sums: sums) == {}


def test_a_resumed_run_goes_on_counting_failures(make_trainer):
    options = {"max_steps": 3, "save_strategy": "steps", "save_steps": 1, "save_total_limit": 9}
    whole = make_trainer(GRPO(beta=0.0), rewards=failing(1, 3), **options)
    whole.train()
    resumed = make_trainer(GRPO(beta=0.0), rewards=failing(1, 3), **options)
    resumed.parts.resume_from = whole.parts.directory / "checkpoint-1"

    resumed.train(resume_from_checkpoint=str(resumed.parts.resume_from))

    def told(trainer):
        return [line["failures/flaky/timeout"] for line in trainer.state.log_history if "reward" in line]

    assert told(whole) == [2.0, 4.0, 6.0]
    assert told(resumed)[-2:] == [4.0, 6.0]
    (mine,), (theirs,) = ([part.score.tally for part in each.parts.rewards] for each in (resumed, whole))
    assert (mine.num_scored, mine.kinds) == (theirs.num_scored, theirs.kinds)


def test_counts_of_a_checkpoint_are_taken_once_whatever_number_of_processes_goes_on():
    ranks = failing(1), failing(1)
    saved = {"flaky": counts_of([tally(40, timeout=3, crash=1)])[0]}
    go_on_from(ranks[0], saved)
    go_on_from(ranks[1], {})
    rows = [torch.tensor(counts_of([rewards[0].score.tally]), dtype=torch.float64) for rewards in ranks]
    assert counted(ranks[0], lambda own: own + rows[1]) == saved
