"""CPU seconds and peak memory of a training step in this process (Linux).

Seconds run from the end of the first step to the end of the last, per step, so that collating, clipping, the optimizer
and the trainer's own work count. Memory is the highest resident size during all steps above the one before the first:
activations, gradients and the optimizer's state; weights are not in it.
"""

from __future__ import annotations

import json
import time
from pathlib import Path


class Meter:
    """Started before training, told of the end of every step."""

    def __init__(self) -> None:
        """Take the memory as it is now for the ground."""
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        self._ground, self._ends = _status("VmRSS"), list[float]()

    def step_ended(self) -> None:
        """Note the time."""
        self._ends.append(time.process_time())

    def peak(self) -> float:
        """Return the highest memory since the start, in MiB above what it was then."""
        return (_status("VmHWM") - self._ground) / 1024

    def report(self) -> None:
        """Print the figures as the last line, in JSON."""
        seconds = (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1)
        print(json.dumps({"seconds": seconds, "mib": self.peak()}))


def _status(name: str) -> int:
    """Return a field of /proc/self/status in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])
