"""One step's worth of tensors, checked and turned into the addresses that the C++ side takes."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from swift_native import _native
from swift_native._layout import dense_strides, in_order
from swift_native._refuse import DTYPES, check_grad, check_param, is_ordinary
from swift_native._state import is_ready, make_ready, moment_names

if TYPE_CHECKING:
    from collections.abc import Mapping


class AdamWBatch:
    """Collects the parameters of every group, then updates them all in one native call.

    No parameter changes before `run`, so that a tensor that is refused leaves the others as they were.
    """

    def __init__(self) -> None:
        self._rows = array("q")
        self._options = array("d")
        self._num_groups = 0
        self._moment_names: tuple[str, ...] = ()
        self._params: list[Tensor] = []
        self._alive: list[Tensor] = []  # gradients that were copied: their addresses are in the rows
        self._copies: list[tuple[Tensor, Tensor]] = []  # (parameter, dense copy that the kernel updates)

    def add_group(self, group: Mapping[str, Any]) -> None:
        """Append the options of one group; parameters added after this belong to it."""
        beta1, beta2 = group["betas"]
        numbers = (group["lr"], beta1, beta2, group["eps"], group["weight_decay"], group["maximize"])
        self._options.extend([float(number) for number in numbers])
        self._num_groups += 1
        self._moment_names = moment_names(group["amsgrad"])

    def add(self, param: Tensor, grad: Tensor, state: dict[str, Any], label: str) -> None:
        """Append one parameter with its gradient and state.

        Args:
            param: Parameter; `run` updates it.
            grad: Its gradient; only read.
            state: State of the parameter; completed if it is empty or comes from elsewhere.
            label: What to call the parameter in an error.

        Raises:
            ValueError: The kernels cannot take the parameter, the gradient or the state.
        """
        if not (is_ordinary(param) and is_ordinary(grad) and param.shape == grad.shape):
            check_param(param, label)
            check_grad(grad, param, label)
        if not is_ready(state, param, self._moment_names):
            make_ready(state, param, self._moment_names, label)
        moments = [state[name] for name in self._moment_names]
        self._params.append(param)
        if not _all_contiguous(param, grad, moments):
            param, grad = self._bring_into_order(param, grad, state)
            moments = [state[name] for name in self._moment_names]
        self._append_row(param, grad, moments, state["step"])

    def run(self) -> None:
        """Take the step, with the interpreter lock released, and tell autograd that the parameters changed."""
        if not self._params:
            return
        _native.adamw_step(self._rows, self._options, torch.get_num_threads())
        for param, copy in self._copies:
            param.copy_(copy)
        torch.autograd.graph.increment_version(self._params)

    def _bring_into_order(self, param: Tensor, grad: Tensor, state: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Return `param` and `grad`, or copies, in one dense order; put the moments into it too."""
        strides = dense_strides(param)
        dense = in_order(param, strides)
        if dense is not param:
            self._copies.append((param, dense))
        for name in self._moment_names:
            state[name] = in_order(state[name], strides)
        ordered = in_order(grad, strides)
        self._alive.append(ordered)
        return dense, ordered

    def _append_row(self, param: Tensor, grad: Tensor, moments: list[Tensor], step: Tensor) -> None:
        """Append the fields of AdamWRow in cpp/driver/adamw_step.hpp."""
        first, second, *rest = [moment.data_ptr() for moment in moments]
        addresses = (param.data_ptr(), grad.data_ptr(), first, second, rest[0] if rest else 0, step.data_ptr())
        dtypes = (DTYPES[param.dtype], DTYPES[grad.dtype])
        self._rows.extend((*addresses, param.numel(), *dtypes, self._num_groups - 1))


def _all_contiguous(param: Tensor, grad: Tensor, moments: list[Tensor]) -> bool:
    if not (param.is_contiguous() and grad.is_contiguous()) or param.is_neg() or grad.is_neg():
        return False
    for moment in moments:  # noqa: SIM110 - a loop is twice as fast as all() here, and this runs for every tensor
        if not moment.is_contiguous():
            return False
    return True
