"""The tensors of a step, checked, and turned into the rows of addresses that the C++ side takes."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from swift_native import _native
from swift_native._blocks import SCALE
from swift_native._formats import GRAD_DTYPES, ROUNDINGS, STORAGES, weight_format
from swift_native._layout import dense_strides, in_order
from swift_native._refuse import check_grad, check_param
from swift_native._shards import place_of_shard, shard_of
from swift_native._state import COMPENSATION, Home, make_ready

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

NUM_STATES = 3
"""Slots of state in a row, kMaxStates in cpp/kernels/span.hpp."""


class Rows:
    """Collects the parameters of every group, in order; nothing but states is changed.

    Args:
        first: Number of elements of the parameters before the first one.
    """

    def __init__(self, first: int = 0) -> None:
        self.copies: list[tuple[Tensor, Tensor]] = []
        """Parameters that do not lie in memory from end to end, each with the dense copy that the step updates."""
        self._rows = array("q")
        self._entries: list[list[Tensor] | None] = []
        self._groups: list[list[Tensor]] = []
        self._grads: list[Tensor] = []
        self._num_elements = first

    def add_group(self) -> None:
        """Begin a group: parameters added after this belong to it."""
        self._groups.append([])

    def skip(self, param: Tensor) -> None:
        """Append a parameter that has no gradient."""
        self._append(param, None)

    def add(
        self,
        param: Tensor,
        state: dict[str, Any],
        group: Mapping[str, Any],
        names: Sequence[str],
        copy: Tensor | None,
        label: str,
    ) -> None:
        """Append one parameter with its gradient and state.

        Args:
            param: Parameter with a gradient.
            state: State of the parameter; completed if it is empty or comes from elsewhere.
            group: Options of its group.
            names: Keys of its states.
            copy: bfloat16 tensor that receives the new weights, or None.
            label: What to call the parameter in an error.

        Raises:
            ValueError: The kernels cannot take the parameter, the gradient or the state.
        """
        grad = param.grad
        assert grad is not None
        check_param(param, label)
        check_grad(grad, param, label)
        shard = shard_of(param)
        strides = dense_strides(shard)
        dense, ordered = in_order(shard.detach(), strides), in_order(shard_of(grad), strides)
        weights = weight_format(param.dtype, group["rounding"])
        compensated = weights == ROUNDINGS["kahan"]
        listed = make_ready(state, Home(param, dense), names, group["moments"], compensated, label)
        if dense.data_ptr() != shard.data_ptr():
            self.copies.append((shard, dense))
        self._grads.append(ordered)
        self._rows.extend(_addresses(dense, ordered, state, names, compensated, copy))
        first = self._num_elements + place_of_shard(param)
        self._rows.extend((shard.numel(), first, GRAD_DTYPES[grad.dtype], weights))
        self._rows.extend((STORAGES[group["moments"]], len(self._groups) - 1))
        self._append(param, [param, *listed, *([] if copy is None else [copy])])

    def plan(self, rule: int, state: Mapping[Tensor, Any]) -> _native.Plan:
        """Return the plan of the step; it lasts if no tensor had to be copied."""
        return _native.Plan(
            rule=rule,
            rows=self._rows,
            entries=self._entries,
            groups=self._groups,
            grads=self._grads,
            state=state,
            is_lasting=not self.copies,
        )

    def _append(self, param: Tensor, entry: list[Tensor] | None) -> None:
        self._entries.append(entry)
        self._groups[-1].append(param)
        self._num_elements += param.numel()


def _addresses(
    param: Tensor,
    grad: Tensor,
    state: Mapping[str, Tensor],
    names: Sequence[str],
    compensated: bool,
    copy: Tensor | None,
) -> list[int]:
    """Return the addresses at the head of a row, up to `step` (cpp/driver/rows.hpp); 0 where there is nothing."""
    unused = [0] * (NUM_STATES - len(names))
    states = [shard_of(state[name]).data_ptr() for name in names] + unused
    scales = [state[name + SCALE].data_ptr() if name + SCALE in state else 0 for name in names] + unused
    compensation = shard_of(state[COMPENSATION]).data_ptr() if compensated else 0
    target = 0 if copy is None else copy.data_ptr()
    return [param.data_ptr(), grad.data_ptr(), *states, *scales, compensation, target, state["step"].data_ptr()]
