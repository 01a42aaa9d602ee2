"""Two ways between the host and a device, one in each direction, that run beside the device's own work and the CPU's.

    out     waits for what the device has been told so far, then carries gradients to the host
    back    carries new weights to the device; what the device is told later waits for it

Streams and events are those of the device's module in torch (`torch.cuda`, `torch.xpu`, ...). The CPU's are empty:
there each copy is over when the call returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


class Lanes:
    """The two ways of one device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._module: Any = torch.get_device_module(device)
        self._out, self._back = self._module.Stream(device), self._module.Stream(device)

    def begin(self) -> None:
        """Let `out` wait for everything that the device has been told to do so far."""
        self._out.wait_stream(self._module.current_stream(self._device))

    def out(self, copies: Iterable[tuple[Tensor, Tensor]]) -> Any:
        """Start copying from the device; return an event to `synchronize` with before the targets are read."""
        return self._start(self._out, copies)

    def back(self, copies: Iterable[tuple[Tensor, Tensor]]) -> Any:
        """Start copying to the device; return an event to `synchronize` with before the sources are written again."""
        return self._start(self._back, copies)

    def end(self) -> None:
        """Let what the device is told from now on wait for the copies to it."""
        self._module.current_stream(self._device).wait_stream(self._back)

    def _start(self, stream: Any, copies: Iterable[tuple[Tensor, Tensor]]) -> Any:
        with self._module.stream(stream):
            for target, source in copies:
                target.copy_(source, non_blocking=True)
        event = self._module.Event()
        event.record(stream)
        return event
