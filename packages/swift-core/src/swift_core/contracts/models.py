"""Models that a plugin uses beside the one that is trained: what a finished run trained, and any other by its id.

What loads models lies above the contracts, so it is found by name when it is called.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from swift_core.contracts.data import Message, TextEncoder
    from swift_core.contracts.engine import SamplingParams
    from swift_core.contracts.reward import InferRequest

_folder: ContextVar[Path | None] = ContextVar("folder", default=None)
_settings: ContextVar[Mapping[str, Any]] = ContextVar("settings", default=MappingProxyType({}))


def run_folder() -> Path:
    """Return the folder that paths in options start from: the run file's while a plugin is built, else the current."""
    return _folder.get() or Path.cwd()


def run_settings() -> Mapping[str, Any]:
    """Return the settings that a plugin written for ms-swift reads as its `args`, while it is built; else none."""
    return _settings.get()


@contextmanager
def building_in(folder: Path, settings: Mapping[str, Any] | None = None) -> Iterator[None]:
    """Let `run_folder` be `folder`, and `run_settings` be `settings`, inside the block."""
    tokens = _folder.set(folder), _settings.set(settings or {})
    try:
        yield
    finally:
        _folder.reset(tokens[0])
        _settings.reset(tokens[1])


class TrainedJudge(Protocol):
    """The model of a finished run of stage `rm` or `prm`."""

    def scores(self, infer_requests: Sequence[InferRequest], /) -> list[float]:
        """Return the score of each answer (stage `rm`)."""

    def steps(
        self, infer_requests: Sequence[InferRequest], steps: Sequence[Sequence[str]] | None = None, /
    ) -> list[list[float]]:
        """Return how probable it is that each step is right (stage `prm`).

        `steps` are those of each answer; left out, it is split as the run's own data were.
        """


def open_judge(directory: str, base: Path, stage: Literal["rm", "prm"]) -> TrainedJudge:
    """Return the judge that a run directory holds; its model is loaded with the first answers.

    Args:
        directory: Of a finished run; a relative path starts from `base`.
        base: `run_folder()` of when the plugin was built.
        stage: What the run must have been.

    Raises:
        ValueError: It is no such run.
    """
    judge: TrainedJudge = _late("swift_core.assemble.trained_judge:open_judge")(directory, base, stage)
    return judge


class OtherModel(Protocol):
    """A model that is not trained."""

    def live(self) -> tuple[Any, TextEncoder]:
        """Return the model of transformers, in evaluation mode on its device, and its tokenizer; loaded once."""


def open_model(
    model_id: str, base: Path, head: Literal["causal_lm", "token_classification"] = "causal_lm"
) -> OtherModel:
    """Return a model that is found, or fetched, now and loaded when it is first used.

    Args:
        model_id: As in `model.model_id`.
        base: `run_folder()` of when the plugin was built.
        head: The model's output.

    Raises:
        ValueError: There is no such model, or it has no such head.
    """
    made: OtherModel = _late("swift_core.assemble.other_model:open_model")(model_id, base, head)
    return made


class Generator(Protocol):
    """A model that goes on with answers that were begun."""

    def answers(
        self, prompts: Sequence[str | Sequence[Message]], begun: Sequence[str], params: SamplingParams, /
    ) -> list[list[str]]:
        """Return `params.num_answers` continuations of each answer: what comes after what was begun."""


def open_generator(
    model_id: str, base: Path, *, engine: str = "transformers", engine_kwargs: Mapping[str, Any] | None = None
) -> Generator:
    """Return what answers with the model `model_id` through an engine (`swift plugins list --kind engine`).

    The model is found, or fetched, now, and what the engine needs of it is loaded with the first answer.

    Raises:
        ValueError: The model or the engine cannot be had.
    """
    made: Generator = _late("swift_core.assemble.other_model:open_generator")(
        model_id, base, engine, engine_kwargs or {}
    )
    return made


def _late(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
