"""Base classes and helpers that files written for ms-swift import, made anew. Torch is imported when one needs it."""

from __future__ import annotations

import logging
import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

Messages = list
Prompt = list


class ORM:
    """Base of outcome rewards."""

    def __init__(self, args: Any = None, **kwargs: Any) -> None:
        """Keep the arguments."""
        self.args = args

    def __call__(self, *positional: Any, **columns: Any) -> Any:
        """Return a score for each completion."""
        raise NotImplementedError


class AsyncORM(ORM):
    """Base of outcome rewards whose call is awaited."""


class PRM:
    """Base of process rewards."""

    def __init__(self, args: Any = None, **kwargs: Any) -> None:
        """Keep the arguments."""
        self.args = args


class BaseLoss:
    """Base of losses in the fourth version."""

    def __init__(self, args: Any = None, trainer: Any = None) -> None:
        """Keep the arguments and the trainer."""
        self.args, self.trainer = args, trainer


class EvalMetrics(BaseLoss):
    """Base of metrics in the fourth version."""


class OptimizerCallback(BaseLoss):
    """Base of optimizers in the fourth version."""


class Tuner:
    """Base of tuners."""


class LossScale:
    """Base of loss scales: answers count 1, all else 0."""

    loss_scale_config: str | None = None
    is_binary: bool | None = None

    def __init__(self, base_strategy: str = "default") -> None:
        """Keep what decides which turns are trained."""
        self.base_strategy = base_strategy

    def get_loss_scale(
        self, context: str, context_type: str = "response", is_last_round: bool = True, **kwargs: Any
    ) -> tuple[list[str], list[float]]:
        """Return the context whole, with its weight."""
        return [context], [float(context_type in (ContextType.RESPONSE, ContextType.SUFFIX))]


class BaseAgentTemplate:
    """Base of agent templates."""


class ContextType:
    """What a piece of a rendered conversation is."""

    RESPONSE = "response"
    SUFFIX = "suffix"
    OTHER = "other"


@dataclass
class InferRequest:
    """A conversation; its parts can be read as attributes or by key."""

    messages: list[dict[str, Any]]
    images: list[Any] = field(default_factory=list)
    tools: Any = None
    objects: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    @staticmethod
    def remove_response(messages: list[dict[str, Any]]) -> str | None:
        """Take the last turn off when it is the assistant's, and return what it said."""
        if messages and messages[-1]["role"] == "assistant":
            content: str | None = messages.pop()["content"]
            return content
        return None


@dataclass
class Function:
    """A call of a tool."""

    name: str
    arguments: Any


@dataclass
class ChatMessage:
    """What a model said."""

    role: str
    content: Any


@dataclass
class ChatCompletionResponseChoice:
    """One answer."""

    index: int
    message: ChatMessage
    finish_reason: str | None = None


@dataclass
class ChatCompletionResponse:
    """The answers to one request; older process rewards return their score as the content of one."""

    model: Any
    choices: list[ChatCompletionResponseChoice]
    usage: Any = None


def __getattr__(name: str) -> Any:
    if name != "TrainerCallback":
        raise AttributeError(name)
    from swift_core.ms_swift.support_callback import TrainerCallback  # transformers is imported when a file asks

    return TrainerCallback


def get_logger(*_: Any) -> logging.Logger:
    """Return the logger that files write to."""
    return logging.getLogger("swift_core.ms_swift")


def get_env_args(name: str, kind: Callable[[str], Any] | None, default: Any) -> Any:
    """Return an environment variable, called `name` in small or capital letters, as `kind` reads it; else `default`."""
    text = os.environ.get(name, os.environ.get(name.upper()))
    return default if text is None else (kind or str)(text)


def get_dist_setting() -> tuple[int, int, int, int]:
    """Return rank, local rank, number of processes and number of local ones, as torchrun says."""
    names = (("RANK", -1), ("LOCAL_RANK", -1), ("WORLD_SIZE", 1), ("LOCAL_WORLD_SIZE", 1))
    rank, local_rank, world, local_world = (int(os.environ.get(name, default)) for name, default in names)
    return rank, local_rank, world, local_world


def is_dist() -> bool:
    """Say whether torchrun started this process."""
    return get_dist_setting()[0] >= 0


def is_master() -> bool:
    """Say whether this is the first process."""
    return get_dist_setting()[0] in (-1, 0)


def calculate_max_steps(args: Any, dataset: Any) -> int:
    """Return the number of optimizer steps of a run."""
    if args.max_steps and args.max_steps > 0:
        return int(args.max_steps)
    rows = args.per_device_train_batch_size * args.gradient_accumulation_steps * get_dist_setting()[2]
    return math.ceil(float(args.num_train_epochs) * max(len(dataset) // int(rows), 1))


def per_token_loss_func(outputs: Any, labels: Tensor, *_: Any, **__: Any) -> Tensor:
    """Return the cross entropy at each place of the batch, flat: [batch * time]; 0 where nothing is trained."""
    import torch.nn.functional as F

    following = labels.roll(-1, dims=1).clone()
    following[:, -1] = -100
    logits = outputs.logits.float()
    return F.cross_entropy(logits.flatten(0, 1), following.flatten(), ignore_index=-100, reduction="none")


def ce_loss_func(outputs: Any, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cross entropy of each trained token, [token], and which places they are, [batch, time - 1]."""
    import torch.nn.functional as F

    following = labels[:, 1:]
    masks = following != -100
    return F.cross_entropy(outputs.logits[:, :-1][masks].float(), following[masks], reduction="none"), masks


def preprocess_logits_for_acc(logits: Any, labels: Tensor) -> Tensor:
    """Return the likeliest token at each place."""
    first: Tensor = logits[0] if isinstance(logits, list | tuple) else logits
    return first.argmax(dim=-1)


def find_all_linears(model: nn.Module, *_: Any) -> list[str]:
    """Return the last words of the names of all linear layers but the output head."""
    from torch import nn

    head = getattr(model, "get_output_embeddings", lambda: None)()
    named = [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and module is not head]
    return sorted({name.rpartition(".")[2] for name in named})
