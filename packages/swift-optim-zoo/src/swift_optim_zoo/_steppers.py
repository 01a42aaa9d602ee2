"""Who takes the steps of AdamW with 8-bit moments, where it is not the plain torch of this package.

On a GPU it is bitsandbytes, on a CPU the kernels of swift-native, if it is installed. Both have codes of their own, and
work on the groups and the state of the optimizer that asks them.
"""

from __future__ import annotations

import logging
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

import torch

from swift_optim_zoo._eight_bit import SMALLEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from torch import Tensor

    from swift_optim_zoo._base import Group

_logger = logging.getLogger(__name__)

_NATIVE_TYPES = (torch.float32, torch.bfloat16)
_SHARED = ("lr", "betas", "eps", "weight_decay")

_PYTHON, _NATIVE, _GPU = "this package", "swift-native", "bitsandbytes"
"""Whose the codes of a state are."""

_UNREAD = (
    "the saved moments have the codes of swift-native, which is not installed or does not take these "
    "parameters (float32 or bfloat16, on a CPU): pip install swift-native"
)


class Stepper(Protocol):
    """Takes steps with the groups and the state of another optimizer."""

    codes: str
    """Whose the codes are that it reads and writes."""

    def step(self, groups: Sequence[Group], state: Any) -> None:
        """Move every parameter that has a gradient."""

    def step_param_alone(self, param: Tensor, groups: Sequence[Group], state: Any) -> None:
        """Move `param`, the only one that has a gradient."""


class _OnGPU:
    """bitsandbytes; it passes over parameters without gradient."""

    codes = _GPU

    def __init__(self, groups: Sequence[Group]) -> None:
        try:
            library = import_module("bitsandbytes.optim")
        except ModuleNotFoundError as error:
            raise ValueError("adamw8bit on a GPU needs the package bitsandbytes: pip install bitsandbytes") from error
        self._optimizer = library.AdamW8bit([{**group} for group in groups])

    def step(self, groups: Sequence[Group], state: Any) -> None:
        for entry in state.values():
            entry["step"] = int(entry["step"])  # what was loaded is a tensor, and its kernels take a number
        self._optimizer.param_groups, self._optimizer.state = groups, state
        self._optimizer.step()

    def step_param_alone(self, param: Tensor, groups: Sequence[Group], state: Any) -> None:
        self.step(groups, state)


class _InNative:
    """swift-native: of each group one of its own with 8-bit moments, and one of small tensors with wide ones."""

    codes = _NATIVE

    def __init__(self, groups: Sequence[Group]) -> None:
        self._places: list[int] = []
        made: list[Group] = []
        for place, group in enumerate(groups):
            for moments, params in _by_moments(group["params"]):
                made.append({"params": params, "moments": moments} | {name: group[name] for name in _SHARED})
                self._places.append(place)
        self._optimizer = import_module("swift_native").AdamW(made)

    def step(self, groups: Sequence[Group], state: Any) -> None:
        self._take_over(groups, state)
        self._optimizer.step()

    def step_param_alone(self, param: Tensor, groups: Sequence[Group], state: Any) -> None:
        self._take_over(groups, state)
        self._optimizer.step_param_alone(param)

    def _take_over(self, groups: Sequence[Group], state: Any) -> None:
        for place, own in zip(self._places, self._optimizer.param_groups, strict=True):
            own.update({name: groups[place][name] for name in _SHARED})
        self._optimizer.state = state


def find_stepper(groups: Sequence[Group], state: Mapping[Any, Mapping[str, Any]]) -> Stepper | None:
    """Return who takes the steps of these parameters, None where this package does.

    Raises:
        ValueError: Parameters are on a GPU, and others are not or bitsandbytes is not installed; or the moments in
            `state` have codes that nobody here can read.
    """
    places = places_of(groups)
    stepper: Stepper | None = None
    if "cuda" in places:
        if len(places) > 1:
            raise ValueError(
                f"adamw8bit takes parameters that are all on a GPU or all elsewhere, got {', '.join(places)}"
            )
        stepper = _OnGPU(groups)
    elif _PYTHON not in _codes_in(state.values()) and _fits_native(groups):
        stepper = _InNative(groups)
    _check_codes(state.values(), stepper)
    return stepper


def tell(stepper: Stepper | None) -> None:
    """Say in the log who takes the steps."""
    if stepper is None:
        _logger.info("adamw8bit: plain torch takes the steps")
    elif stepper.codes == _GPU:
        _logger.warning("adamw8bit: the parameters are on a GPU; bitsandbytes takes the steps")
    else:
        _logger.info("adamw8bit: swift-native takes the steps")


def places_of(groups: Iterable[Group]) -> list[str]:
    """Return the types of devices that parameters are on."""
    return sorted({param.device.type for group in groups for param in group["params"]})


def _codes_in(entries: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return whose codes these states of parameters have; float32 moments are anybody's on a CPU."""
    found = set()
    for entry in entries:
        if "state1" in entry:
            found.add(_GPU)
        elif "exp_avg_codes" in entry:
            found.add(_PYTHON)
        elif "exp_avg" in entry:
            found.add(_NATIVE if entry["exp_avg"].dtype is torch.uint8 else "")
    return found


def _check_codes(entries: Iterable[Mapping[str, Any]], stepper: Stepper | None) -> None:
    """Raise ValueError if saved moments are not in the codes that the next step reads."""
    found, read = _codes_in(entries), _PYTHON if stepper is None else stepper.codes
    if found and (_GPU in found) != (read == _GPU):
        saved, here = ("a GPU", "a CPU") if _GPU in found else ("a CPU", "a GPU")
        raise ValueError(
            f"the saved moments are from {saved} and cannot be read on {here}: bitsandbytes has other codes; "
            f"resume on {saved}"
        )
    if _NATIVE in found and read == _PYTHON:
        raise ValueError(_UNREAD)


def native_is_installed() -> bool:
    """Say whether the kernels of swift-native are there."""
    return find_spec("swift_native") is not None


def check_native_codes(params: Iterable[Tensor], state: Mapping[Any, Mapping[str, Any]]) -> None:
    """Raise ValueError if one of the parameters has saved moments in codes of swift-native that it cannot go on in."""
    for param in params:
        is_known = param.device.type == "cpu" and torch.promote_types(param.dtype, torch.float32) is torch.float32
        if _NATIVE in _codes_in([state.get(param, {})]) and not (is_known and native_is_installed()):
            raise ValueError(_UNREAD)


def _fits_native(groups: Sequence[Group]) -> bool:
    params = [param for group in groups for param in group["params"] if param.numel()]
    are_known = all(param.device.type == "cpu" and param.dtype in _NATIVE_TYPES for param in params)
    return bool(params) and are_known and native_is_installed()


def _by_moments(params: Iterable[Tensor]) -> list[tuple[str, list[Tensor]]]:
    """Return the parameters by the format of their moments, without empty ones, which keep nothing."""
    split: dict[str, list[Tensor]] = {"8bit": [], "fp32": []}
    for param in params:
        if param.numel():
            split["8bit" if param.numel() >= SMALLEST else "fp32"].append(param)
    return [(moments, chosen) for moments, chosen in split.items() if chosen]
