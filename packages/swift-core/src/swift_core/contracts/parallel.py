"""How several processes share a run: the methods, and a preset for each with every value that is promised of it.

`device.engine_kwargs` changes values of the preset. `swift plan` prints what came of it; after the start the values
that the live engine can be asked for are read back from it and compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from swift_core.contracts.settings import DeviceSettings

Method = Literal["single", "ddp", "fsdp2", "zero2", "zero3", "device_map", "tp"]

SHARDED = ("fsdp2", "zero2", "zero3", "tp")
"""Methods in which a process keeps a part of the optimizer's state, and but for ZeRO-2 of the weights too."""

_DDP = {"bucket_cap_mb": 25, "broadcast_buffers": True, "static_graph": False}
_FSDP2 = {"reshard_after_forward": True, "cpu_offload": False, "wrap": [], "state_dict": "full"}
_ZERO2 = {
    "allgather_bucket_size": 500_000_000,
    "contiguous_gradients": True,
    "offload_optimizer": False,
    "overlap_comm": True,
    "reduce_bucket_size": 500_000_000,
    "round_robin_gradients": False,
}
_ZERO3 = {
    "contiguous_gradients": True,
    "offload_optimizer": False,
    "offload_param": False,
    "overlap_comm": True,
    "reduce_bucket_size": 500_000_000,
    "stage3_max_live_parameters": 1_000_000_000,
    "stage3_max_reuse_distance": 1_000_000_000,
    "stage3_param_persistence_threshold": 100_000,
    "stage3_prefetch_bucket_size": 50_000_000,
    "sub_group_size": 1_000_000_000,
}
_TP: dict[str, Any] = {"tp_plan": {}}
_DEVICE_MAP = {"device_map": "auto", "max_memory": {}}
PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"single": {}, "ddp": _DDP, "fsdp2": _FSDP2, "zero2": _ZERO2, "zero3": _ZERO3, "device_map": _DEVICE_MAP, "tp": _TP}
)
"""Method -> its options with the values they have unless the run file gives others."""

CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType({"state_dict": ("full", "sharded")})
"""Options that take one of a few words."""

SPREADS = ("auto", "balanced", "balanced_low_0", "sequential")
"""Ways in which accelerate itself spreads a model over devices."""


def device_name(value: Any) -> str:
    """Return torch's name of a device in a map: a number, or the text of one, is a GPU's."""
    return f"cuda:{value}" if str(value).isdecimal() else str(value)


@dataclass(frozen=True, slots=True)
class Parallel:
    """How the processes of a run share it."""

    method: str
    world: int
    """Processes on all machines."""

    nodes: int
    values: Mapping[str, Any]
    """Every option of the method."""

    @property
    def shards_weights(self) -> bool:
        """Whether no process has all weights between two passes."""
        return self.method in ("fsdp2", "zero3", "tp")

    @property
    def num_shares(self) -> int:
        """Return among how many the rows of a step are dealt out: processes that hold one model together are one."""
        return 1 if self.method == "tp" else self.world

    @property
    def is_zero(self) -> bool:
        """Whether DeepSpeed runs it."""
        return self.method.startswith("zero")

    @property
    def stage(self) -> int:
        """ZeRO stage, 0 for other methods."""
        return int(self.method[-1]) if self.is_zero else 0


def parallel_of(device: DeviceSettings) -> Parallel:
    """Return what the `device` section asks for, the preset filled in."""
    values = {**PRESETS[device.parallel_method], **device.engine_kwargs}
    return Parallel(device.parallel_method, device.num_processes, device.nodes, values)
