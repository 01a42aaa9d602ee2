"""A procedure that samples, with an engine whose answers are written here."""

import pytest

from swift_core.assemble.kinds.prompts import PromptCollator
from swift_core.contracts.engine import Rollout
from swift_core.contracts.handover import RewardPart
from swift_core.train.policy.procedure import Policy

END = 2


def prompts(count):
    return [
        {"prompt_ids": [5 + i, 6], "prompt": f"q{i}", "ground_truth": "9", "columns": {"level": i}, "row": i}
        for i in range(count)
    ]


class Scripted:
    """Answers that are a token longer with every sample."""

    def __init__(self):
        self.asked, self.versions = [], []

    def generate(self, asked, params, /):
        self.asked.append(([list(ids) for ids in asked], params))
        return [
            [
                Rollout(prompt_ids=list(ids), answer_ids=[*range(10, 11 + k), END], finished=k < 3)
                for k in range(params.num_answers)
            ]
            for ids in asked
        ]

    def update_weights(self, weights, version, /):
        self.versions.append(version)

    def close(self):
        pass


def length(infer_requests, ground_truths, **columns):
    """A reward of one point for each token, with what core hands over checked."""
    assert ground_truths == ["9"] * len(infer_requests)
    assert len(columns["level"]) == len(infer_requests)
    return [float(len(request.response)) for request in infer_requests]


class Encoder:
    eos_token_id = END
    pad_token_id = 0
    special_tokens = frozenset()
    opening_ids = ()

    def decode(self, ids):
        return "x" * len(ids)

    def encode(self, text):
        return [1] * len(text)

    def render(self, messages, **_):
        raise ValueError("no template")


@pytest.fixture
def make_trainer(make_parts):
    """Return a function (loss, ...) -> a procedure over four prompts."""

    def make(loss, reference=None, rollout=None, rewards=None, procedure=Policy, engine=None, optimizer=None, **train):
        train = {"per_device_train_batch_size": 2, "max_completion_length": 6, **train}
        parts = make_parts(loss, prompts(4), PromptCollator(), reference=reference, **train)
        settings = parts.plan.settings
        for name, value in {"num_generations": 4, "log_completions": 0, **(rollout or {})}.items():
            object.__setattr__(settings.rollout, name, value)
        parts.encoder, parts.engine, parts.procedure = Encoder(), engine or Scripted(), procedure
        parts.make_optimizer = optimizer or parts.make_optimizer
        parts.rewards = rewards or [RewardPart("length", 1.0, length)]
        parts.eval_dataset = None
        return procedure.build(parts)

    return make
