"""What this machine has, found without torch: GPUs by their device files, processes by torchrun's variables."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_PACKAGES = ("bitsandbytes", "deepspeed", "flash_attn")
_LAUNCHED = {
    "fsdp": "ACCELERATE_USE_FSDP",
    "deepspeed": "ACCELERATE_USE_DEEPSPEED",
    "megatron-lm": "ACCELERATE_USE_MEGATRON_LM",
}
"""Engine -> the variable by which `accelerate launch` asks for it."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Facts that decide what a run file may ask for."""

    num_gpus: int
    """GPUs that a process may use."""

    hidden_gpus: int = 0
    """GPUs that CUDA_VISIBLE_DEVICES hides."""

    world_size: int | None = None
    """Processes that torchrun started; None when it started none."""

    local_world_size: int | None = None
    """Those of them that are on this machine."""

    has_bf16_units: bool = False
    """Whether the CPU multiplies matrices in bfloat16."""

    packages: frozenset[str] = frozenset()
    """Which of bitsandbytes, deepspeed and flash_attn are installed."""

    launched_engine: str = ""
    """What `accelerate launch` was told to run: `fsdp`, `deepspeed`, `megatron-lm`, or nothing."""

    launched_precision: str = "no"
    """Mixed precision that `accelerate launch` was told to use."""


def this_machine(environment: Mapping[str, str] = os.environ, devices: Path = Path("/dev")) -> Machine:
    """Look at this machine; nothing is imported and no driver is asked."""
    present = sum(1 for path in devices.glob("nvidia[0-9]*") if path.name[6:].isdecimal())
    visible = _visible(environment.get("CUDA_VISIBLE_DEVICES"), present)
    return Machine(
        num_gpus=visible,
        hidden_gpus=present - visible,
        world_size=_count(environment.get("WORLD_SIZE", "")),
        local_world_size=_count(environment.get("LOCAL_WORLD_SIZE", "")),
        has_bf16_units=_has_bf16_units(),
        packages=frozenset(name for name in _PACKAGES if importlib.util.find_spec(name)),
        launched_engine=next((name for name, key in _LAUNCHED.items() if _is_true(environment.get(key))), ""),
        launched_precision=environment.get("ACCELERATE_MIXED_PRECISION", "no").lower() or "no",
    )


def _is_true(value: str | None) -> bool:
    return (value or "").lower() == "true"


def _count(text: str) -> int | None:
    return int(text) if text.isdecimal() and int(text) else None


def _visible(value: str | None, present: int) -> int:
    """Return how many of `present` GPUs CUDA_VISIBLE_DEVICES leaves; as in CUDA, a wrong entry ends the list."""
    if value is None:
        return present
    count = 0
    for entry in value.split(","):
        name = entry.strip()
        if not name or name.startswith("-") or (name.isdecimal() and int(name) >= present):
            break
        count += 1
    return min(count, present)


def _has_bf16_units(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    try:
        text = cpuinfo.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "").split()
    return not {"amx_bf16", "avx512_bf16", "bf16"}.isdisjoint(flags)
