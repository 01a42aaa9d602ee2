"""Options and formats of weights and states, and the numbers that the C++ side has for them."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Moments = Literal["fp32", "bf16", "8bit"]
"""How the averages of the gradient are kept."""

Rounding = Literal["nearest", "stochastic", "kahan"]
"""How a bfloat16 weight is rounded."""

Offloading = Literal["none", "cpu"]
"""Where states and float32 weights are kept of parameters on another device."""

OFFLOADINGS = ("none", "cpu")

STORAGES: dict[str, int] = {"fp32": 0, "bf16": 1, "8bit": 2}
"""Format of states -> `Storage` in cpp/driver/rows.hpp."""

STATE_DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "8bit": torch.uint8}
"""Format of states -> dtype of the tensors that hold them."""

PARAM_DTYPES = (torch.float32, torch.bfloat16)
"""Dtypes of parameters that the kernels take."""

GRAD_DTYPES: dict[torch.dtype, int] = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
"""Dtype of a gradient -> `Dtype` in cpp/kernels/norm.hpp."""

ROUNDINGS: dict[str, int] = {"nearest": 1, "stochastic": 2, "kahan": 3}
"""Rounding of bfloat16 weights -> `WeightFormat` in cpp/kernels/span.hpp; float weights are 0."""

_OPTIONS = ("lr", "beta1", "beta2", "eps", "weight_decay", "maximize", "momentum", "dampening", "nesterov", "seed")
"""Fields of `Options` in cpp/driver/rows.hpp."""


def weight_format(dtype: torch.dtype, rounding: str) -> int:
    """Return the number of the format of weights of `dtype` under the option `rounding`."""
    return 0 if dtype is torch.float32 else ROUNDINGS[rounding]


def options_of(groups: Sequence[Mapping[str, Any]]) -> array[float]:
    """Return the options of `groups` as the C++ side takes them."""
    numbers = array("d")
    for group in groups:
        beta1, beta2 = group.get("betas", (0.0, 0.0))
        values = {**group, "beta1": beta1, "beta2": beta2}
        numbers.extend([float(values.get(name, 0.0)) for name in _OPTIONS])
    return numbers
