"""One model spread over the devices of one process: whether the map and the other parts go together.

accelerate keeps on the CPU, or on the disk, what its map finds no room for. Such weights are copied in for each forward
pass and get no gradient, so a run that trains is refused them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from swift_core.contracts.parallel import SPREADS, device_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swift_core.resolve.findings import Findings
    from swift_core.resolve.machine import Machine
    from swift_core.resolve.parts import Looked

_MAP, _MEMORY = "device.engine_kwargs.device_map", "device.engine_kwargs.max_memory"
_METHOD = "device.parallel_method"
_OFFLOADED = ("disk", "meta")
_SIZE = re.compile(r"\d+(\.\d+)?\s*[KMGT]i?B", re.IGNORECASE)
_SINGLE = "write parallel_method: single"


def check_device_map(findings: Findings, machine: Machine) -> None:
    """Keep what is wrong with `parallel_method: device_map`, for this machine."""
    device = findings.config.settings.device
    if device.parallel_method != "device_map":
        return
    if device.num_processes > 1:
        message = f"device_map spreads a model over the devices of one process, and there are {device.num_processes}"
        findings.wrong("process-count", message, _METHOD, "write num_processes: 1, or parallel_method: fsdp2")
    num_gpus = 0 if device.use_cpu else machine.num_gpus
    wanted = device.engine_kwargs.get("device_map", "auto")
    if isinstance(wanted, str):
        _check_way(findings, wanted, num_gpus)
    elif isinstance(wanted, dict) and wanted:
        _check_map(findings, wanted, num_gpus)
    else:
        message = f"device_map must be {_words()}, or name a device for each module, got {wanted!r}"
        findings.wrong("wrong-value", message, _MAP, "write device_map: auto")
    _check_memory(findings, device.engine_kwargs.get("max_memory", {}), num_gpus)


def _words() -> str:
    return " or ".join(SPREADS)


def _check_way(findings: Findings, wanted: str, num_gpus: int) -> None:
    if wanted not in SPREADS:
        message = f"device_map must be {_words()}, or name a device for each module, got {wanted!r}"
        findings.wrong("wrong-value", message, _MAP, "write device_map: auto")
    elif not num_gpus:
        message = f"device_map: {wanted} spreads a model over GPUs, and none is used here"
        findings.wrong("no-gpu", message, _METHOD, f"{_SINGLE}, or name a device for each module")


def _check_map(findings: Findings, wanted: Mapping[str, Any], num_gpus: int) -> None:
    devices = {name: device_name(value) for name, value in wanted.items()}
    for name, value in devices.items():
        if value in _OFFLOADED:
            message = f"device_map keeps {name or 'the model'!r} on {value}, where weights get no gradient"
            findings.wrong("engine-conflict", message, _MAP, "name GPUs that hold the model, or train a smaller one")
        elif value != "cpu" and not re.fullmatch(r"[a-z]+:\d+", value):
            message = f"device_map gives {name or 'the model'!r} the device {wanted[name]!r}, which is none"
            findings.wrong("wrong-value", message, _MAP, "write the number of a GPU, or cpu")
        elif value.startswith("cuda:") and int(value[5:]) >= num_gpus:
            have = f"this machine has {num_gpus}" if num_gpus else "none is used here"
            message = f"device_map gives {name or 'the model'!r} GPU {value[5:]}, and {have}"
            findings.wrong("too-few-gpus", message, _MAP, "GPUs are numbered from 0")
    different = set(devices.values()) - set(_OFFLOADED)
    if "cpu" in different and len(different) > 1:
        message = (
            "device_map keeps weights on the CPU beside GPUs, which copies them in for each forward pass; such weights "
            "get no gradient"
        )
        findings.wrong("engine-conflict", message, _MAP, "name GPUs only")


def _check_memory(findings: Findings, limits: Any, num_gpus: int) -> None:
    if not isinstance(limits, dict):
        message = f"max_memory must name a size for each GPU, got {limits!r}"
        findings.wrong("wrong-value", message, _MEMORY, 'write max_memory: {"0": 20GiB, "1": 20GiB}')
        return
    for device, size in limits.items():
        key = f"{_MEMORY}.{device}"
        if not str(device).isdecimal():
            message = f"max_memory gives a size for {device!r}, and only GPUs hold weights that are trained"
            findings.wrong("wrong-value", message, key, 'write max_memory: {"0": 20GiB, "1": 20GiB}')
        elif int(device) >= num_gpus:
            message = f"max_memory gives a size for GPU {device}, and this run has {num_gpus}"
            findings.wrong("too-few-gpus", message, key, "GPUs are numbered from 0")
        if isinstance(size, bool) or not (isinstance(size, int) or (isinstance(size, str) and _SIZE.fullmatch(size))):
            message = f"max_memory of GPU {device} must be a size, got {size!r}"
            findings.wrong("wrong-value", message, key, "write bytes, or a text such as 20GiB")


def check_spread_optimizer(findings: Findings, optimizer: Looked) -> None:
    """Keep why the optimizer cannot move parameters that lie on several devices."""
    device = findings.config.settings.device
    if device.parallel_method != "device_map" or not _is_spread(device.engine_kwargs.get("device_map", "auto")):
        return
    name, works_on = optimizer.plugin.name, str(optimizer.declared("works_on", ""))
    if works_on == "memory":
        message = f"the optimizer {name!r} reads weights in the memory of the CPU, and device_map puts them on GPUs"
    elif not optimizer.declared("moves_parameters_alone"):
        message = (
            f"the optimizer {name!r} does not say that it moves every parameter alone, and device_map puts them on "
            "several devices"
        )
    else:
        return
    next_step = "choose an optimizer that moves every weight alone, such as adamw, or write parallel_method: fsdp2"
    findings.wrong("optimizer-engine", message, "train.optimizer_type", next_step)


def _is_spread(wanted: Any) -> bool:
    """Say whether a map may name several devices; one that accelerate makes may."""
    return not isinstance(wanted, dict) or len({device_name(value) for value in wanted.values()}) > 1
