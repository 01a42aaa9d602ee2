"""What an optimizer remembers of a parameter: `step` and its states, each in the format that the options name.

The names and meanings are those of torch's optimizers, so that state dicts can be exchanged. Where the format differs
the values are converted: to fewer bits by rounding to nearest. `step` is a float32 scalar that the C++ side counts up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from swift_native import _native
from swift_native._blocks import SCALE, decode, encode, scales_fit, zero_scales
from swift_native._formats import STATE_DTYPES
from swift_native._layout import in_order
from swift_native._refuse import is_plain_on_cpu
from swift_native._shards import is_cut, is_dtensor, shard_of

if TYPE_CHECKING:
    from collections.abc import Sequence

COMPENSATION = "compensation"
"""Key of what rounding took from a bfloat16 weight."""

MASTER = "master"
"""Key of the float32 weights of an offloaded parameter."""

_TOGETHER = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
"""Moments whose 8-bit codes belong together."""

_HUGE = 1 << 21
"""Bytes from which on an array gets huge pages."""


class Home(NamedTuple):
    """Where states belong."""

    param: Tensor
    """The parameter; the states of a DTensor are DTensors."""

    dense: Tensor
    """What this rank holds of it, dense in host memory: states take its order."""

    pinned: bool = False
    """Whether states must not be paged out, because a device copies them."""


def make_ready(
    state: dict[str, Any], home: Home, names: Sequence[str], moments: str, compensated: bool, label: str
) -> list[Tensor]:
    """Fill in what is missing in `state` with zeros and bring what was loaded into the form that the kernel reads.

    Args:
        state: State of one parameter; changed in place.
        home: Where the states belong.
        names: Keys of the states; the first has a sign, the others are not negative.
        moments: Format of the states.
        compensated: Whether the weights need what rounding took from them.
        label: What to call the parameter in an error.

    Returns:
        The tensors that the step reads: `step`, the states, their scales if in 8 bits, and the compensation if there is
        one.

    Raises:
        ValueError: A loaded state has another shape than the parameter, or is no plain tensor in host memory; or
            8-bit moments are asked for of a parameter that is cut up among ranks.
    """
    if moments == "8bit" and is_cut(home.param):
        raise ValueError(
            f"moments of {label} cannot have 8 bits: it is cut up among ranks, and a checkpoint that another number of "
            "ranks reads would have its blocks elsewhere; take moments: bf16"
        )
    has_past = any(state.get(name) is not None for name in names)  # torch.optim.SGD counts no steps
    state["step"] = _as_step(state.get("step", 1.0 if has_past else 0.0))
    present = [name for name in names if state.get(name) is not None]
    for name in present:
        check_loaded(shard_of(state[name]), name, home.dense, label)
    _check_scales(state, present, label)
    if moments == "8bit":
        _make_codes(state, names, home)
    else:
        _read_codes(state, present)
        for name in names:
            _make_state(state, name, home, moments)
    if compensated:
        _make_state(state, COMPENSATION, home, "bf16")
    listed = [state["step"], *(state[name] for name in names)]
    listed += [state[name + SCALE] for name in names] if moments == "8bit" else []
    return [*listed, state[COMPENSATION]] if compensated else listed


def as_float(state: dict[str, Any], name: str) -> Tensor:
    """Return the values of a state in float32, whatever its format."""
    value = shard_of(state[name])
    return decode(state, _coded_with(state, name))[name] if value.dtype is torch.uint8 else value.float()


def _coded_with(state: dict[str, Any], name: str) -> list[str]:
    """Return the states whose codes are read together with those of `name`."""
    return [other for other in _TOGETHER if name in _TOGETHER and other + SCALE in state] or [name]


def _check_scales(state: dict[str, Any], present: Sequence[str], label: str) -> None:
    for name in present:
        value = shard_of(state[name])
        if value.dtype is torch.uint8 and not scales_fit(state, value.numel(), _coded_with(state, name)):
            raise ValueError(
                f"the optimizer state of {label} cannot be used: {name} has codes of 8 bits whose scales are not those "
                "of blocks of 128; go on with the version that saved it, or begin with new moments"
            )


def _read_codes(state: dict[str, Any], present: Sequence[str]) -> None:
    """Put float32 values where codes of 8 bits are."""
    state.update({name: as_float(state, name) for name in present if shard_of(state[name]).dtype is torch.uint8})
    for name in present:
        state.pop(name + SCALE, None)


def _make_state(state: dict[str, Any], name: str, home: Home, moments: str) -> None:
    dtype = STATE_DTYPES[moments]
    if state.get(name) is None:
        state[name] = empty_state(home, dtype)
        shard_of(state[name]).zero_()
        return
    value = shard_of(state[name])
    strides = home.dense.stride()
    if value.dtype is dtype and in_order(value, strides) is value:
        return
    value = in_order(value.float(), strides)
    state[name] = empty_state(home, dtype)
    shard_of(state[name]).copy_(value)


def _make_codes(state: dict[str, Any], names: Sequence[str], home: Home) -> None:
    present = [name for name in names if state.get(name) is not None]
    if not present:
        state.update({name: empty_state(home, torch.uint8).zero_() for name in names})
        state.update(zero_scales(home.dense.numel(), names))
        return
    if len(present) == len(names) and _are_codes(state, names, home.dense.stride()):
        return
    zeros = torch.zeros(home.dense.shape)
    values = {
        name: in_order(as_float(state, name) if name in present else zeros, home.dense.stride()) for name in names
    }
    for name in _TOGETHER:  # what is no state of this optimizer would be taken for one that is
        if state.pop(name + SCALE, None) is not None:
            del state[name]
    state.update(encode(values, names))


def _are_codes(state: dict[str, Any], names: Sequence[str], strides: Sequence[int]) -> bool:
    """Return whether the states are codes of the kind and order that the kernel reads."""
    are_lone = len(_coded_with(state, names[0])) == 1
    return are_lone == (len(names) == 1) and all(
        state[name].dtype is torch.uint8 and in_order(state[name], strides) is state[name] for name in names
    )


def empty_state(home: Home, dtype: torch.dtype) -> Tensor:
    """Return memory for a state, on huge pages if it is much and the system has such pages."""
    if is_dtensor(home.param):
        return torch.empty_like(home.param, dtype=dtype, requires_grad=False)
    shape, strides = home.dense.shape, home.dense.stride()
    if home.pinned:
        return torch.empty_strided(shape, strides, dtype=dtype, pin_memory=True)
    empty = torch.empty_strided(shape, strides, dtype=dtype)
    if empty.nbytes >= _HUGE:
        _native.ask_for_huge_pages(empty.data_ptr(), empty.nbytes)
    return empty


def check_loaded(value: object, name: str, param: Tensor, label: str) -> None:
    """Raise ValueError unless `value` is a plain tensor in host memory of the shape of `param`."""
    if not isinstance(value, Tensor) or not is_plain_on_cpu(value):
        described = f"{value.dtype} on {value.device}" if isinstance(value, Tensor) else repr(value)
        kind = f"{type(value).__name__} of {described}"
        raise ValueError(f"the optimizer state of {label} cannot be used: {name} is a {kind}")
    if value.shape != param.shape:
        shapes = f"{tuple(value.shape)}, the parameter {tuple(param.shape)}"
        raise ValueError(f"the optimizer state of {label} is of another model: {name} has shape {shapes}")


def _as_step(step: Tensor | float) -> Tensor:
    if isinstance(step, Tensor):
        ready = step.dtype is torch.float32 and step.is_cpu and step.ndim == 0
        return step if ready else step.detach().to(dtype=torch.float32, device="cpu").reshape(())
    return torch.tensor(float(step), dtype=torch.float32)
