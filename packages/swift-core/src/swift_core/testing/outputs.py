"""Outputs with given values, so that a loss can be tried without a model."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from swift_core.contracts.loss import LazyOutputs, PairOutputs, PolicyOutputs, TokenOutputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

Outputs = TypeVar("Outputs", bound=LazyOutputs)


def given_pairs(**values: Tensor) -> PairOutputs:
    """Return PairOutputs that hold `values`; reading anything else is an AttributeError."""
    return _given(PairOutputs, values)


def given_tokens(**values: Tensor) -> TokenOutputs:
    """Return TokenOutputs that hold `values`; reading anything else is an AttributeError."""
    return _given(TokenOutputs, values)


def given_policy(max_length: int = 0, **values: Tensor) -> PolicyOutputs:
    """Return PolicyOutputs that hold `values` and `max_length`; reading anything else is an AttributeError."""
    tensors = {name: partial(_itself, value) for name, value in values.items()}
    return PolicyOutputs({"max_length": lambda: max_length, **tensors})


def _given(family: type[Outputs], values: Mapping[str, Tensor]) -> Outputs:
    return family({name: partial(_itself, value) for name, value in values.items()})


def _itself(value: Tensor) -> Tensor:
    return value
