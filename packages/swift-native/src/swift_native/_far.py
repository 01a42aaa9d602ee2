"""A parameter that lives on another device, with what belongs to it in host memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from swift_native._layout import dense_strides, in_order
from swift_native._refuse import check_far_grad, check_far_param, label_of
from swift_native._state import MASTER, Home, check_loaded, empty_state, make_ready

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Seat(NamedTuple):
    """What an optimizer knows of a parameter beside its state."""

    names: Sequence[str]
    """Keys of its states."""

    moments: str
    """Their format."""

    group: int
    """Index of its group."""

    first_element: int
    """Number of elements of all parameters before it."""

    label: str
    """What to call it in an error."""


class Far(NamedTuple):
    """One parameter of a step; `param`, `grad` and `master` are flat, in the parameter's order in memory."""

    whole: Tensor
    """The parameter itself."""

    param: Tensor
    """Its memory, or a dense copy of a parameter that has gaps: then it is to be copied back."""

    grad: Tensor
    master: Tensor
    state: dict[str, Any]
    seat: Seat

    @property
    def has_gaps(self) -> bool:
        """Whether `param` is a copy."""
        return self.param.data_ptr() != self.whole.data_ptr()


def make_fars(
    groups: Sequence[Mapping[str, Any]],
    states: Mapping[Tensor, dict[str, Any]],
    names_of: Callable[[Mapping[str, Any]], Sequence[str]],
) -> list[Far]:
    """Return the parameters that have a gradient; `names_of` gives the keys of the states of a group."""
    fars, num_elements = [], 0
    for index, group in enumerate(groups):
        names = names_of(group)
        for position, param in enumerate(group["params"]):
            seat = Seat(names, group["moments"], index, num_elements, label_of(group, index, position))
            if param.grad is not None:
                fars.append(make_far(param, states[param], seat))
            num_elements += param.numel()
    return fars


def make_far(param: Tensor, state: dict[str, Any], seat: Seat) -> Far:
    """Return a parameter that has a gradient, its states made in `state` where there are none.

    Raises:
        ValueError: The parameter, the gradient or the state cannot be used.
    """
    grad = param.grad
    assert grad is not None
    check_far_param(param, seat.label)
    check_far_grad(grad, param, seat.label)
    strides = dense_strides(param)
    dense, ordered = in_order(param.detach(), strides), in_order(grad, strides)
    host = torch.empty_strided(param.shape, strides, device="meta")
    home = Home(host, host, pinned=not param.is_cpu)
    make_ready(state, home, seat.names, seat.moments, False, seat.label)
    if state.get(MASTER) is None:
        state[MASTER] = empty_state(home, torch.float32).copy_(dense)
    check_loaded(state[MASTER], MASTER, host, seat.label)
    if state[MASTER].dtype is not torch.float32 or in_order(state[MASTER], strides) is not state[MASTER]:
        state[MASTER] = empty_state(home, torch.float32).copy_(state[MASTER])
    return Far(param, _flat(dense), _flat(ordered), _flat(state[MASTER]), state, seat)


def take_over(state: dict[str, Any], param: Tensor) -> None:
    """Bring the float32 weights up to date with a parameter that something else has written to.

    Elements that are still the rounded float32 weights stay as they are.
    """
    master: Tensor = state[MASTER]
    now = param.detach().to(device="cpu", copy=True)
    master.copy_(torch.where(master.to(now.dtype) == now, master, now.float()))


def _flat(tensor: Tensor) -> Tensor:
    """Return the memory of a dense tensor from end to end."""
    return tensor.as_strided((tensor.numel(),), (1,), tensor.storage_offset())
