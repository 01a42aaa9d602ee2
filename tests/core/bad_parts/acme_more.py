"""Further plugins of the wheel `acme-parts`: good ones whose options are given wrongly, and rarer broken ones."""

from dataclasses import dataclass
from typing import ClassVar

import click
import torch
from transformers import TrainerCallback

from swift_core.plugin_api import (
    LossOutput,
    PairOutputs,
    PolicyOutputs,
    Rollout,
    TokenOutputs,
    hookimpl,
    require_positive,
)
from swift_core.procedures import SwiftTrainer


@dataclass(frozen=True, kw_only=True)
class Positive:
    """An option that must be greater than 0, for every kind of plugin."""

    strength: float = 1.0

    def __post_init__(self):
        require_positive(strength=self.strength)


class TokenLoss(Positive):
    def __call__(self, tokens: TokenOutputs) -> LossOutput:
        return LossOutput(-tokens.logps * self.strength, weights=tokens.weights)


class PairLoss(Positive):
    def __call__(self, pairs: PairOutputs) -> LossOutput:
        return LossOutput(self.strength * (pairs.rejected_logps - pairs.chosen_logps))


class PairLossRaises(Positive):
    def __call__(self, pairs: PairOutputs) -> LossOutput:
        raise IndexError("no such pair")


class PairLossReturnsText(Positive):
    def __call__(self, pairs: PairOutputs) -> LossOutput:
        return "0.5"


class PolicyLoss(Positive):
    def __call__(self, policy: PolicyOutputs) -> LossOutput:
        return LossOutput(-policy.logps * self.strength)


class PolicyLossRaises(Positive):
    def __call__(self, policy: PolicyOutputs) -> LossOutput:
        raise IndexError("no such answer")


class PolicyLossOfWrongShape(Positive):
    def __call__(self, policy: PolicyOutputs) -> LossOutput:
        return LossOutput(-policy.logps[:, None])


class Scale(Positive):
    def get_loss_scale(self, context, context_type, is_last_round, /):
        return [context], [self.strength]


class Optimizer(torch.optim.SGD):
    def __init__(self, params, *, lr: float = 1e-3, momentum: float = 0.0):
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be in [0, 1), got {momentum}")
        super().__init__(params, lr=lr, momentum=momentum)


class Scheduler(Positive):
    def __call__(self, optimizer, /, *, num_warmup_steps, num_training_steps):
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.strength)


class Tuner(Positive):
    trains_adapter = False
    artifact = "model"

    def prepare_model(self, model):
        return model

    def reference(self, model):
        return None

    def save_pretrained(self, model, directory):
        model.save_pretrained(directory)

    def from_pretrained(self, model, directory):
        return model


class Metric(Positive):
    eats = "generations"

    def compute(self, evaluation, /):
        return {"figure": self.strength}


class Callback(TrainerCallback):
    def __init__(self, *, strength: float = 1.0):
        require_positive(strength=strength)


class AgentTemplate(Positive):
    results_role = "tool"

    def format_tools(self, tools, system, /):
        return "tools"

    def format_calls(self, calls, /):
        return "a call"

    def parse_calls(self, text, /):
        return []

    def format_results(self, results, /):
        return "a result"


class AgentTemplateRaises(AgentTemplate):
    def format_tools(self, tools, system, /):
        raise KeyError("parameters")


class AgentTemplateReturnsNothing(AgentTemplate):
    def format_tools(self, tools, system, /):
        return None


class Format:
    columns = ("messages",)

    def matches(self, row):
        return True

    def record(self, row, where):
        raise ValueError("messages must be a list")


class FormatMatchRaises(Format):
    def matches(self, row):
        return row["answers"]


class Reward(Positive):
    def __call__(self, completions):
        return [self.strength] * len(completions)


class StepReward(Positive):
    def __call__(self, infer_requests):
        return [[self.strength]] * len(infer_requests)


class StepRewardRaises(Positive):
    def __call__(self, infer_requests):
        raise ZeroDivisionError("no steps")


class StepRewardReturnsText(Positive):
    def __call__(self, infer_requests):
        return [["good"] for _ in infer_requests]


class RewardOfUnknownColumn(Positive):
    def __call__(self, completions, difficulty):
        return [0.0] * len(completions)


class Engine(Positive):
    def generate(self, prompts, params, /):
        ids = [params.stop_token_ids[0]]
        return [[Rollout(list(prompt), ids, True)] * params.num_answers for prompt in prompts]

    def update_weights(self, weights, version, /):
        pass

    def close(self):
        pass


class EngineRaises(Engine):
    def generate(self, prompts, params, /):
        raise ConnectionError("nobody answers")


class EngineReturnsText(Engine):
    def generate(self, prompts, params, /):
        return ["an answer" for _ in prompts]


class EngineAnswersOnce(Engine):
    def generate(self, prompts, params, /):
        return [group[:1] for group in super().generate(prompts, params)]


class EngineWithoutGenerate(Positive):
    def update_weights(self, weights, version, /):
        pass


class Turns(Positive):
    def __call__(self, conversations, /):
        return [None for _ in conversations]


class TurnsRaises(Turns):
    def __call__(self, conversations, /):
        raise TimeoutError("no tool")


class TurnsReturnsText(Turns):
    def __call__(self, conversations, /):
        return ["go on" for _ in conversations]


class Pool(Positive):
    def workers(self, work, /):
        return None


class PoolRaises(Pool):
    def workers(self, work, /):
        raise ConnectionError("no cluster")


class HubOf:
    folder = "nowhere"

    def claims(self, model_id, base):
        return model_id.startswith("acme:")

    def peek(self, model_id, revision, base):
        return None

    def fetch(self, model_id, revision, base):
        return self.folder


class HubRaises(HubOf):
    def fetch(self, model_id, revision, base):
        raise ConnectionError("the store is closed")


class HubRefuses(HubOf):
    def fetch(self, model_id, revision, base):
        raise ValueError(f"the store has no {model_id}")


class HubClaimRaises(HubOf):
    def claims(self, model_id, base):
        return base.stores


class Procedure(SwiftTrainer):
    feeds: ClassVar[str] = "TokenOutputs"
    rows: ClassVar[str] = "tokens"
    default_loss: ClassVar[str] = "cross_entropy"


class ProcedureRaises(Procedure):
    @classmethod
    def build(cls, parts):
        raise KeyError("critic")


class ProcedureRaisesInStep(Procedure):
    def count_items(self, batch):
        return (batch["labels"][:, 1:] != -100).sum()

    def make_outputs(self, model, batch):
        return batch["rewards"]


class ProcedureBuildsNothing(Procedure):
    @classmethod
    def build(cls, parts):
        return None


class ProcedureOfUnknownRows(Procedure):
    rows: ClassVar[str] = "triples"


class HookRaises:
    @hookimpl
    def swift_train_begin(self, parts):
        raise OSError("the board is away")


class HookReturnsText:
    @hookimpl
    def swift_validate_config(self, config):
        return ["a problem"]


class HookReturnsSectionAsText:
    @hookimpl
    def swift_report_section(self, result):
        return "a section"


class HookOfUnknownMoment:
    @hookimpl
    def swift_step_ends(self, step): ...


@click.command()
def command_raises():
    raise ZeroDivisionError("no runs")


def command_is_function():
    return 0


class ExporterTitled:
    def __init__(self, *, title: str = "none"):
        self.title = title

    def export(self, run, target, /):
        return self.title


class ExporterRaises:
    def export(self, run, target, /):
        raise KeyError("weights")
