"""A model spread over the devices of one process: which module lies where, and where its loss is formed.

Batches and losses live on the device of the output head; accelerate's hooks bring tokens to the first layer and hand
what comes out of the last one back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swift_core.assemble.cut import model_shape
from swift_core.assemble.head import head_module
from swift_core.contracts.parallel import device_name
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch

    from swift_core.contracts.handover import RunPlan

DeviceMap = dict[str, "int | str"]


def device_map_of(plan: RunPlan, folder: Path) -> DeviceMap | None:
    """Return which module of the model in `folder` lies on which device; None where nothing is spread.

    The map is made from the model's shape, before its weights are loaded.

    Raises:
        SwiftError: The map misses a part of the model, or there is no room for all of it on the devices.
    """
    if plan.parallel.method != "device_map":
        return None
    from accelerate.utils.modeling import check_device_map  # type: ignore[import-untyped]
    from transformers.integrations.accelerate import _get_device_map

    from swift_core.assemble.model import loading_for

    wanted, limits = plan.parallel.values["device_map"], plan.parallel.values["max_memory"]
    head = str(plan.procedure.source.declared.get("model_head", "causal_lm"))
    shape = model_shape(head, folder, loading_for(plan.settings, plan.load(plan.tuner), folder).dtype)
    if not isinstance(wanted, str):
        spread = {name: _device(value) for name, value in wanted.items()}
        try:
            check_device_map(shape, spread)
        except ValueError as error:
            raise _unfit(plan, f"device_map misses a part of the model: {error}", "name a device for it") from error
        return spread
    memory = {int(device): _bytes(size) for device, size in limits.items()} or None
    made: DeviceMap = dict(_get_device_map(shape, wanted, memory, None))
    if left := [name for name, device in made.items() if device in ("cpu", "disk")]:
        message = (
            f"the GPUs have no room for {len(left)} modules of the model, {left[0] or 'all of it'} among them, and "
            "weights that are kept elsewhere get no gradient."
        )
        raise _unfit(plan, message, "give more room in max_memory, quantise the model, or share it with fsdp2")
    return made


def _device(value: Any) -> int | str:
    return int(value) if str(value).isdecimal() else str(value)


def _bytes(size: int | str) -> int:
    from accelerate.utils.modeling import convert_file_size_to_int

    return int(convert_file_size_to_int(size))


def _unfit(plan: RunPlan, message: str, next_step: str) -> SwiftError:
    place = plan.config.place("device.engine_kwargs.device_map") or plan.config.place("device.parallel_method")
    return SwiftError(Problem("device-map", message, place, next_step))


def is_spread(model: Any) -> bool:
    """Say whether accelerate's hooks run `model` on several devices."""
    return len(set((getattr(model, "hf_device_map", None) or {}).values())) > 1


def home_of(model: Any) -> torch.device:
    """Return the device on which the loss of `model` is formed: that of its head where it is spread."""
    if not is_spread(model):
        found: torch.device = model.device
        return found
    head: Any = model.get_output_embeddings() or head_module(model)
    home: torch.device = head.weight.device
    return home


def devices_by_module(model: Any, device_map: Mapping[str, Any]) -> dict[str, str]:
    """Return where the weights of each module of a map lie now; several devices are joined by `/`."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    found = {}
    for name in device_map:
        module = inner.get_submodule(name)
        names = {device_name(parameter.device) for parameter in module.parameters()}
        found[name] = "/".join(sorted(names)) or device_name(device_map[name])  # no weights of its own
    return found
