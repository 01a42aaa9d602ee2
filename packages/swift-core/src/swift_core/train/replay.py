"""Run the same random numbers again: dropout of a second forward pass drops what the first one dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.utils.checkpoint import get_device_states, set_device_states

if TYPE_CHECKING:
    from torch import Tensor


class Replay:
    """The state of the random generators when it was made; inside the block they start from it."""

    def __init__(self, *tensors: Tensor) -> None:
        """Remember the generators of the CPU and of the devices of `tensors`."""
        self._cpu = torch.get_rng_state()
        self._devices, self._states = get_device_states(*tensors)
        self._fork: Any = None

    def __enter__(self) -> None:
        self._fork = torch.random.fork_rng(devices=self._devices)
        self._fork.__enter__()
        torch.set_rng_state(self._cpu)
        set_device_states(self._devices, self._states)

    def __exit__(self, *error: object) -> None:
        self._fork.__exit__(*error)
