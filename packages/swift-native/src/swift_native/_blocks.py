"""States in 8 bits: a code for each element, and scales for each block of 128 elements in memory order.

The three kinds of codes are described in cpp/kernels/block8.hpp. A state `name` has its scales beside it, as
`name_scale`. Beside a second moment the first is kept as a share of its root, so that both are read together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from swift_native import _native
from swift_native._layout import dense_strides, in_order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCALE = "_scale"
"""Suffix of the key of a state's scales."""

States = dict[str, Tensor]


def num_blocks(num_elements: int) -> int:
    """Return how many blocks `num_elements` elements begin."""
    return -(-num_elements // _native.BLOCK8)


def zero_scales(num_elements: int, names: Sequence[str]) -> States:
    """Return scales of 0: one byte a block of the first state, two of the others."""
    blocks = num_blocks(num_elements)
    shapes = [(blocks,) if position == 0 else (blocks, _native.ROOT_SCALE) for position in range(len(names))]
    return {name + SCALE: torch.zeros(shape, dtype=torch.uint8) for name, shape in zip(names, shapes, strict=True)}


def scales_fit(state: Mapping[str, Tensor], num_elements: int, names: Sequence[str]) -> bool:
    """Return whether `state` has the scales of `num_elements` codes of every name."""
    wanted = zero_scales(num_elements, names)
    return all(
        name in state and state[name].shape == scale.shape and state[name].dtype is scale.dtype
        for name, scale in wanted.items()
    )


def encode(values: Mapping[str, Tensor], names: Sequence[str]) -> States:
    """Return codes and scales, each value rounded to the nearest code.

    Args:
        values: Dense float32 tensors of one shape and order, by name.
        names: Keys of the states: one that has a sign, the average of squares beside it if there is one, and the
            largest of them so far if there is that.
    """
    size = values[names[0]].numel()
    made = {name: torch.empty_like(values[name], dtype=torch.uint8) for name in names} | zero_scales(size, names)
    addresses = [values[name].data_ptr() for name in names]
    if len(names) == 1:
        _native.encode_lone(addresses[0], made[names[0]].data_ptr(), made[names[0] + SCALE].data_ptr(), size)
        return made
    _native.encode_pair(addresses[0], addresses[1], _pair(made, names), size)
    for name in names[2:]:
        _native.encode_roots(values[name].data_ptr(), made[name].data_ptr(), made[name + SCALE].data_ptr(), size)
    return made


def decode(state: Mapping[str, Tensor], names: Sequence[str]) -> States:
    """Return the float32 values of the codes of `names`, in their shape and order."""
    codes = {name: in_order(state[name], dense_strides(state[names[0]])) for name in names}
    scales = {name + SCALE: state[name + SCALE].contiguous() for name in names}
    read, size = {**codes, **scales}, codes[names[0]].numel()
    made = {name: torch.empty_like(codes[name], dtype=torch.float32) for name in names}
    if len(names) == 1:
        (name,) = names
        _native.decode_lone(codes[name].data_ptr(), read[name + SCALE].data_ptr(), made[name].data_ptr(), size)
        return made
    _native.decode_pair(_pair(read, names), made[names[0]].data_ptr(), made[names[1]].data_ptr(), size)
    for name in names[2:]:
        _native.decode_roots(codes[name].data_ptr(), read[name + SCALE].data_ptr(), made[name].data_ptr(), size)
    return made


def _pair(state: Mapping[str, Tensor], names: Sequence[str]) -> tuple[int, int, int, int]:
    """Return the addresses of `Pair8` in cpp/kernels/block8.hpp."""
    first, second = (state[name].data_ptr() for name in names[:2])
    first_scales, second_scales = (state[name + SCALE].data_ptr() for name in names[:2])
    return first, second, first_scales, second_scales
