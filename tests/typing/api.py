"""A third party's plugins, one of each kind. This file must type-check, strictly, and is never run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from swift_core.plugin_api import (
    AgentTemplate,
    Callback,
    Conversation,
    DatasetFormat,
    Evaluator,
    Exporter,
    Generations,
    Hub,
    InferRequest,
    Loss,
    LossOutput,
    LossScale,
    Message,
    Metric,
    MultiTurn,
    OptimizerFactory,
    OutcomeReward,
    PairOutputs,
    ParamGroup,
    Place,
    Predictions,
    Problem,
    ProcessReward,
    Record,
    ReportSection,
    SchedulerFactory,
    SwiftError,
    TokenOutputs,
    Tuner,
    hookimpl,
    register_loss,
    require_between,
    require_nonnegative,
    require_positive,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Focal:
    """A token loss with options."""

    gamma: float = 2.0
    """How much easy tokens are discounted, >= 0."""

    needs_reference: ClassVar[bool] = False
    couples_items: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_nonnegative(gamma=self.gamma)

    def __call__(self, tokens: TokenOutputs, /) -> LossOutput:
        losses = -((1 - tokens.logps.exp()) ** self.gamma) * tokens.logps
        return LossOutput(losses, weights=tokens.weights, metrics={"confidence": tokens["logps"].exp()})


class Hinge:
    """A pair loss that returns a plain mean."""

    needs_reference: ClassVar[bool] = True
    couples_items: ClassVar[bool] = False

    def __init__(self, *, margin: float = 1.0) -> None:
        require_positive(margin=margin)
        self.margin = margin

    def __call__(self, pairs: PairOutputs, /) -> Tensor:
        ahead = pairs.chosen_logps - pairs.reference_chosen_logps
        behind = pairs.rejected_logps - pairs.reference_rejected_logps
        return (self.margin - (ahead - behind)).clamp(min=0).mean()


class SignDescent(torch.optim.Optimizer):
    """An optimizer."""

    def __init__(self, params: Iterable[ParamGroup], /, *, lr: float = 1e-3, momentum: float = 0.0) -> None:
        require_between(0.0, 1.0, momentum=momentum)
        super().__init__([dict(group) for group in params], {"lr": lr, "momentum": momentum})


@dataclass(frozen=True, slots=True, kw_only=True)
class Staircase:
    """A schedule."""

    drop: float = 0.5

    def __call__(
        self, optimizer: torch.optim.Optimizer, /, *, num_warmup_steps: int, num_training_steps: int
    ) -> torch.optim.lr_scheduler.LambdaLR:
        half = num_training_steps // 2
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.drop if step > half else 1.0)


class LastLayer:
    """A tuner."""

    trains_adapter: ClassVar[bool] = True
    artifact: ClassVar[str] = "adapter"

    def prepare_model(self, model: PreTrainedModel) -> PreTrainedModel:
        model.requires_grad_(False)
        return model

    def reference(self, model: PreTrainedModel) -> AbstractContextManager[object] | None:
        return None

    def save_pretrained(self, model: PreTrainedModel, directory: Path) -> None:
        directory.mkdir()

    def from_pretrained(self, model: PreTrainedModel, directory: Path) -> PreTrainedModel:
        return model


class Trivia:
    """A data format."""

    columns: ClassVar[tuple[str, ...]] = ("trivia", "answer")

    def matches(self, row: Mapping[str, Any]) -> bool:
        return {"trivia", "answer"} <= row.keys()

    def record(self, row: Mapping[str, Any], where: str) -> Record:
        turns: list[Message] = [{"role": "user", "content": str(row["trivia"])}]
        return Record(where=where, prompt=turns, ground_truth=str(row["answer"]), columns=row)


class Shelf:
    """A model source."""

    def claims(self, model_id: str, base: Path) -> bool:
        return model_id.startswith("shelf:")

    def peek(self, model_id: str, revision: str, base: Path) -> Path | None:
        return None

    def fetch(self, model_id: str, revision: str, base: Path) -> Path:
        raise ValueError("the shelf is empty")


class Length:
    """A metric on generated answers."""

    eats: ClassVar[Literal["predictions", "generations"]] = "generations"

    def compute(self, evaluation: Generations, /) -> Mapping[str, float]:
        lengths = [len(request.response) for request in evaluation.infer_requests]
        return {"length": sum(lengths) / len(lengths)}

    def preprocess_logits(self, logits: Tensor, labels: Tensor, /) -> Tensor:
        return logits


class Hits:
    """A metric on predicted tokens."""

    eats: ClassVar[Literal["predictions", "generations"]] = "predictions"

    def compute(self, evaluation: Predictions, /) -> Mapping[str, float]:
        return {"rows": float(len(evaluation.labels))}

    def preprocess_logits(self, logits: Tensor, labels: Tensor, /) -> Tensor:
        return logits.argmax(-1)


class Brevity:
    """An outcome reward."""

    def __call__(
        self, infer_requests: Sequence[InferRequest], ground_truths: Sequence[str], /
    ) -> Sequence[float | None]:
        return [None if not request.response else 1.0 / len(request.response) for request in infer_requests]


class Steps:
    """A process reward."""

    def __call__(self, infer_requests: Sequence[InferRequest], /) -> Sequence[float | Sequence[float]]:
        return [[1.0 for _ in request.response.splitlines()] for request in infer_requests]


class FirstRoundOnly:
    """A loss scale."""

    def get_loss_scale(
        self, context: str, context_type: Literal["query", "response", "system", "other"], is_last_round: bool, /
    ) -> tuple[Sequence[str], Sequence[float]]:
        return [context], [0.0 if is_last_round else 1.0]


class Bell(TrainerCallback):
    """A callback."""

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        control.should_save = state.global_step == 10


class Brackets:
    """An agent template."""

    results_role: ClassVar[Literal["user", "tool", "assistant"]] = "tool"

    def format_tools(self, tools: Sequence[Mapping[str, Any]], system: str, /) -> str:
        return f"{system}{len(tools)} tools"

    def format_calls(self, tool_calls: Sequence[Mapping[str, Any]], /) -> str:
        return "".join(f"[{call['name']}]" for call in tool_calls)

    def format_results(self, results: Sequence[str], /) -> str:
        return "".join(results)

    def parse_calls(self, text: str, /) -> Sequence[Mapping[str, Any]]:
        return [{"name": text.strip("[]"), "arguments": {}}]


class Zip:
    """An exporter."""

    def export(self, run: Path, target: Path, /) -> Path:
        return target / run.name


class Quiz:
    """An evaluator."""

    def evaluate(self, run: Path, /) -> Mapping[str, float]:
        return {"right": 1.0}


class Herald:
    """Hooks."""

    @hookimpl
    def swift_report_section(self) -> ReportSection:
        return ReportSection("Herald", "All went well.")


@register_loss("always_zero")
class AlwaysZero:
    """A loss that a file registers."""

    needs_reference: ClassVar[bool] = False
    couples_items: ClassVar[bool] = False

    def __call__(self, tokens: TokenOutputs, /) -> Tensor:
        return 0 * tokens.logps.sum()


class AskAgain:
    """Asks for a shorter answer until it is short."""

    def __call__(self, conversations: Sequence[Conversation], /) -> list[list[Message] | None]:
        """Return the question, or None where the answer is short."""
        long = [len(each.response) > 80 and each.turn < 3 for each in conversations]
        return [[{"role": "user", "content": "Shorter, please."}] if again else None for again in long]


registered: Loss = AlwaysZero()
loss_scale: LossScale = FirstRoundOnly()
callback: Callback = Bell()
agent_template: AgentTemplate = Brackets()
exporter: Exporter = Zip()
evaluator: Evaluator = Quiz()
token_loss: Loss = Focal(gamma=1.0)
pair_loss: Loss = Hinge(margin=0.5)
optimizer: Callable[..., torch.optim.Optimizer] = SignDescent
scheduler: SchedulerFactory = Staircase(drop=0.1)
tuner: Tuner = LastLayer()
dataset_format: DatasetFormat = Trivia()
hub: Hub = Shelf()
metrics: tuple[Metric, ...] = (Length(), Hits())
outcome: OutcomeReward = Brevity()
multi_turn: MultiTurn = AskAgain()
process: ProcessReward = Steps()


def build(factory: OptimizerFactory, groups: Sequence[ParamGroup]) -> torch.optim.Optimizer:
    """Call an optimizer as core does."""
    return factory(groups, lr=1e-3)


def first_place(error: SwiftError) -> Place | None:
    """Read an error."""
    problem: Problem = error.problems[0]
    return problem.place
