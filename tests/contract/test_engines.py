"""Engines that answer with the trained model: as many answers as asked for, by seed, that end where they should."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from swift_core.plugin_api import SamplingParams
from swift_core.testing.tiny import tiny_model

KIND = "engine"
PROMPTS = ([5, 6, 7], [8], [9, 10])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return AutoModelForCausalLM.from_pretrained(tiny_model(tmp_path_factory.mktemp("tiny")))


@pytest.fixture
def engine(target, model):
    """The engine with the model; only those that answer with the trained model are tried here."""
    if not hasattr(target, "attach"):
        pytest.skip("it answers with weights of its own")
    engine = target()
    engine.attach(model, 0)
    return engine


def drawn(engine, **params):
    return engine.generate(PROMPTS, SamplingParams(max_tokens=6, num_answers=3, **params))


def test_every_prompt_gets_its_answers_in_order(engine):
    groups = drawn(engine, seed=1)
    assert [len(group) for group in groups] == [3, 3, 3]
    for prompt, group in zip(PROMPTS, groups, strict=True):
        assert all(list(rollout.prompt_ids) == prompt for rollout in group)
        assert all(1 <= len(rollout.answer_ids) <= 6 for rollout in group)


def test_answers_follow_from_the_seed_and_leave_torchs_generator_alone(engine):
    state = torch.random.get_rng_state()
    first, again, other = drawn(engine, seed=1), drawn(engine, seed=1), drawn(engine, seed=2)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert first == again
    assert first != other


def test_an_answer_with_a_seed_of_its_own_is_the_same_whatever_is_drawn_beside_it(engine):
    groups = drawn(engine, seeds=(11, 22, 33))
    again = engine.generate(PROMPTS[1:], SamplingParams(max_tokens=6, num_answers=3, seeds=(22, 33)))
    assert again == groups[1:]
    assert len({tuple(rollout.answer_ids) for group in groups for rollout in group}) == 9


def test_an_answer_ends_with_the_token_that_stops_it(engine):
    stops = tuple(range(20, 160))  # half of the vocabulary
    rollouts = [rollout for group in drawn(engine, seed=3, stop_token_ids=stops) for rollout in group]
    assert any(rollout.finished for rollout in rollouts)
    for rollout in rollouts:
        stopped = [token in stops for token in rollout.answer_ids]
        assert not any(stopped[:-1])
        assert rollout.finished is stopped[-1]


def test_the_likeliest_answers_are_the_models_own(engine, model):
    (first, *_), *_ = drawn(engine, temperature=0.0)
    ids = torch.tensor([PROMPTS[0]])
    for token in first.answer_ids:
        with torch.no_grad():
            assert int(model(ids).logits[0, -1].argmax()) == token
        ids = torch.cat([ids, torch.tensor([[token]])], 1)


def test_training_goes_on_in_the_mode_it_was_in(engine, model):
    model.train()
    drawn(engine, seed=1)
    assert all(module.training for module in model.modules())
    model.eval()
