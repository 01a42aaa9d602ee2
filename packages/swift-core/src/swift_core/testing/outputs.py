"""Outputs with given values, so that a loss can be tried without a model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from swift_core.contracts.contrastive import ContrastiveOutputs
from swift_core.contracts.distill import DistillOutputs
from swift_core.contracts.loss import LazyOutputs, PairOutputs, PolicyOutputs, TokenOutputs, UnpairedOutputs
from swift_core.contracts.score import ClassOutputs, ScoreOutputs, StepOutputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

Outputs = TypeVar("Outputs", bound=LazyOutputs)


def given_pairs(**values: Tensor) -> PairOutputs:
    """Return PairOutputs that hold `values`; reading anything else is an AttributeError."""
    return _given(PairOutputs, values)


def given_tokens(**values: Tensor) -> TokenOutputs:
    """Return TokenOutputs that hold `values`, all tokens in one tile; reading anything else is an AttributeError."""
    whole = _given(TokenOutputs, values)
    return whole.extended({"tiles": lambda: [lambda: whole]})


def given_unpaired(**values: Tensor) -> UnpairedOutputs:
    """Return UnpairedOutputs that hold `values`; reading anything else is an AttributeError."""
    return _given(UnpairedOutputs, values)


def given_classes(**values: Tensor) -> ClassOutputs:
    """Return ClassOutputs that hold `values`; reading anything else is an AttributeError."""
    return _given(ClassOutputs, values)


def given_scores(**values: Tensor) -> ScoreOutputs:
    """Return ScoreOutputs that hold `values`; reading anything else is an AttributeError."""
    return _given(ScoreOutputs, values)


def given_steps(**values: Tensor) -> StepOutputs:
    """Return StepOutputs that hold `values`; reading anything else is an AttributeError."""
    return _given(StepOutputs, values)


def given_contrastive(**values: Tensor) -> ContrastiveOutputs:
    """Return ContrastiveOutputs that hold `values`; reading anything else is an AttributeError."""
    return _given(ContrastiveOutputs, values)


def given_policy(max_length: int = 0, **values: Tensor) -> PolicyOutputs:
    """Return PolicyOutputs that hold `values` and `max_length`; reading anything else is an AttributeError."""
    tensors = {name: partial(_itself, value) for name, value in values.items()}
    return PolicyOutputs({"max_length": lambda: max_length, **tensors})


def given_distill(tile: int = 2, **values: Tensor) -> DistillOutputs:
    """Return DistillOutputs that hold `values`, [token, ...] each, in tiles of `tile` tokens.

    `student_logps` and `teacher_logps` are made from the logits and `labels` where they are not given.
    """
    for model in ("student", "teacher"):
        logits, name = values.get(f"{model}_token_logits"), f"{model}_logps"
        if logits is not None and "labels" in values and name not in values:
            values[name] = logits.log_softmax(-1).gather(-1, values["labels"][:, None]).squeeze(-1)
    num_tokens = len(next(iter(values.values())))
    spans = [slice(start, start + tile) for start in range(0, num_tokens, tile)]

    def maker(span: slice) -> Callable[[], DistillOutputs]:
        return lambda: _given(DistillOutputs, {name: value[span] for name, value in values.items()})

    tensors = {name: partial(_itself, value) for name, value in values.items()}
    return DistillOutputs({"tiles": lambda: [maker(span) for span in spans], **tensors})


def _given(family: type[Outputs], values: Mapping[str, Tensor]) -> Outputs:
    return family({name: partial(_itself, value) for name, value in values.items()})


def _itself(value: Tensor) -> Tensor:
    return value
