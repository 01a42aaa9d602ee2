"""Steps on the CPU for parameters that live on another device: states and float32 weights are in host memory.

A step goes over all parameters in buckets of equal size, and large parameters are cut. While the CPU steps one bucket

    the gradients of the next two come out of the device, and the weights of the one before go back to it,

so that what is waited for is the slowest of the three alone, and the memory that is pinned for transfers does not grow
with the model. Ren et al., 2021, ZeRO-Offload, arXiv:2101.06840, sec. 4. The arithmetic, the random bits and the states
are those of parameters in host memory.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from swift_native import _native
from swift_native._blocks import SCALE
from swift_native._far import Far, take_over
from swift_native._formats import GRAD_DTYPES, STORAGES
from swift_native._lanes import Lanes
from swift_native._rows import NUM_STATES
from swift_native._state import MASTER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

BUCKET = 1 << 22
"""Elements of a bucket: 16 MB of float32."""

_AHEAD = 2
"""Buckets whose gradients are on their way while one is stepped."""

_BLOCK = _native.BLOCK8
"""Parts of a parameter begin at multiples of this: 8-bit blocks must not be cut."""


class Part(NamedTuple):
    """The elements [begin, end) of a parameter, at `place` in their bucket."""

    far: Far
    begin: int
    end: int
    place: int


class Slot:
    """Host memory through which buckets travel, one after the other."""

    def __init__(self, num_elements: int, pinned: bool) -> None:
        self.num_elements = num_elements
        self._grads = torch.empty(4 * num_elements, dtype=torch.uint8, pin_memory=pinned)
        self._weights = torch.empty(2 * num_elements, dtype=torch.uint8, pin_memory=pinned)
        self.arrived: Any = None
        self.returned: Any = None

    def grad(self, part: Part) -> Tensor:
        """Return where the gradient of `part` arrives."""
        return _piece(self._grads, part, part.far.grad.dtype)

    def weights(self, part: Part) -> Tensor:
        """Return the new weights of `part` as the device takes them: float32 ones go back from where they are."""
        if part.far.param.dtype is torch.float32:
            return part.far.master[part.begin : part.end]
        return _piece(self._weights, part, part.far.param.dtype)


def _piece(memory: Tensor, part: Part, dtype: torch.dtype) -> Tensor:
    begin, size = part.place * dtype.itemsize, (part.end - part.begin) * dtype.itemsize
    return memory[begin : begin + size].view(dtype)


class Offload:
    """Steps of parameters on other devices.

    Args:
        bucket: Elements of a bucket, a multiple of 128.
        lanes: Makes the ways between the host and a device.
    """

    def __init__(self, bucket: int = BUCKET, lanes: Callable[[torch.device], Any] = Lanes) -> None:
        self._bucket = bucket
        self._make_lanes = lanes
        self._lanes: dict[torch.device, Any] = {}
        self._slots: dict[torch.device, list[Slot]] = {}
        self._versions: dict[Tensor, int] = {}

    def forget_versions(self) -> None:
        """Take the float32 weights for what counts, whatever has happened to the parameters."""
        self._versions.clear()

    def step(self, fars: Sequence[Far], take: Callable[[array[int]], None]) -> None:
        """Move every parameter of `fars`; `take` takes the step of the rows that it gets."""
        for far in fars:
            if self._versions.get(far.whole, far.whole._version) != far.whole._version:
                take_over(far.state, far.whole)
        devices = {far.whole.device for far in fars}
        for device in devices:
            self._step_on(device, [far for far in fars if far.whole.device == device], take)
        for far in fars:
            far.state["step"] += 1
            if far.has_gaps:
                far.whole.copy_(far.param.as_strided(far.whole.shape, far.state[MASTER].stride()))
            self._versions[far.whole] = far.whole._version

    def _step_on(self, device: torch.device, fars: Sequence[Far], take: Callable[[array[int]], None]) -> None:
        buckets = list(_buckets(fars, self._bucket))
        lanes = self._lanes.setdefault(device, self._make_lanes(device))
        slots = self._slots_for(device, buckets)
        lanes.begin()
        for index in range(len(buckets) + _AHEAD):
            if index < len(buckets):
                _fetch(buckets[index], slots[index % len(slots)], lanes)
            if index >= _AHEAD:
                _update(buckets[index - _AHEAD], slots[(index - _AHEAD) % len(slots)], lanes, take)
        lanes.end()

    def _slots_for(self, device: torch.device, buckets: Sequence[Sequence[Part]]) -> list[Slot]:
        needed = max((bucket[-1].place + bucket[-1].end - bucket[-1].begin for bucket in buckets), default=0)
        slots = self._slots.get(device, [])
        if not slots or slots[0].num_elements < needed:
            slots = [Slot(needed, device.type != "cpu") for _ in range(_AHEAD + 1)]
            self._slots[device] = slots
        return slots


def _fetch(bucket: Sequence[Part], slot: Slot, lanes: Any) -> None:
    slot.arrived = lanes.out((slot.grad(part), part.far.grad[part.begin : part.end]) for part in bucket)


def _update(bucket: Sequence[Part], slot: Slot, lanes: Any, take: Callable[[array[int]], None]) -> None:
    slot.arrived.synchronize()
    if slot.returned is not None:
        slot.returned.synchronize()
    steps = torch.tensor([float(part.far.state["step"]) for part in bucket])  # a parameter in parts is one step
    rows = array("q")
    for number, part in enumerate(bucket):
        rows.extend(_row(part, slot, steps.data_ptr() + 4 * number))
    take(rows)
    for part in bucket:
        if part.far.param.dtype is torch.float16:  # the kernels write bfloat16 only
            slot.weights(part).copy_(part.far.master[part.begin : part.end])
    slot.returned = lanes.back((part.far.param[part.begin : part.end], slot.weights(part)) for part in bucket)


def norm_in_float32(grads: Sequence[Tensor]) -> Tensor:
    """Return the global norm of gradients, computed in float32 where they are; in host memory."""
    squares = torch.zeros(())
    for device in {grad.device for grad in grads}:
        norms = [torch.linalg.vector_norm(grad, dtype=torch.float32) for grad in grads if grad.device == device]
        squares += torch.linalg.vector_norm(torch.stack(norms)).cpu().square()
    return squares.sqrt()


def _buckets(fars: Iterable[Far], size: int) -> Iterable[list[Part]]:
    """Yield the parameters cut into buckets; a part begins at a multiple of 16 elements of its bucket."""
    bucket: list[Part] = []
    place = 0
    for far in fars:
        begin, num_elements = 0, far.master.numel()
        while begin < num_elements:
            room = (size - place) // _BLOCK * _BLOCK
            if room == 0:
                yield bucket
                bucket, place, room = [], 0, size
            end = min(begin + room, num_elements)
            bucket.append(Part(far, begin, end, place))
            place += (end - begin + 15) // 16 * 16
            begin = end
    if bucket:
        yield bucket


def _row(part: Part, slot: Slot, step: int) -> Iterable[int]:
    """Return the fields of Row in cpp/driver/rows.hpp."""
    state, seat, begin = part.far.state, part.far.seat, part.begin
    unused = [0] * (NUM_STATES - len(seat.names))
    states = [state[name].data_ptr() + begin * state[name].itemsize for name in seat.names]
    codes = seat.moments == "8bit"
    scales = [_scale_at(state[name + SCALE], begin) if codes else 0 for name in seat.names]
    copy = slot.weights(part).data_ptr() if part.far.param.dtype is torch.bfloat16 else 0
    grad = slot.grad(part)
    yield from (part.far.master.data_ptr() + 4 * begin, grad.data_ptr(), *states, *unused, *scales, *unused)
    yield from (0, copy, step, part.end - begin, seat.first_element + begin, GRAD_DTYPES[grad.dtype], 0)
    yield from (STORAGES[seat.moments], seat.group)


def _scale_at(scales: Tensor, begin: int) -> int:
    """Return the address of the scale of the block that begins at element `begin`."""
    return scales.data_ptr() + begin // _BLOCK * scales.stride(0)
