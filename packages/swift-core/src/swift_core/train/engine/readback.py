"""What the live engine says of itself, held against the plan: an engine that is another one trains something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from transformers import TrainerCallback

from swift_core.assemble.device_map import devices_by_module, is_spread
from swift_core.contracts.parallel import device_name
from swift_core.errors import Problem, SwiftError
from swift_core.train.engine.tensor import tensor_parallel_size

if TYPE_CHECKING:
    from swift_core.train.trainer import SwiftTrainer


class ReadBack(TrainerCallback):
    """Compares the engine with the plan when training begins, before the first step."""

    def __init__(self, trainer: SwiftTrainer) -> None:
        """Take the trainer, whose model is not wrapped yet, and remember the types of its weights."""
        self._trainer = trainer
        self._types = _types(trainer.module)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Compare.

        Raises:
            SwiftError: On all ranks, when one of them runs anything else than the plan says; the rank is named.
        """
        planned, live = self.planned(), live_engine(self._trainer)
        self._trainer.parts.facts["engine"] = live
        own = [f"{name} is {live[name]} and not {wanted}" for name, wanted in planned.items() if live[name] != wanted]
        everyone: list[list[str]] = [own]
        if dist.is_initialized():
            everyone = [[] for _ in range(dist.get_world_size())]
            dist.all_gather_object(everyone, own)
        wrong = {rank: lines for rank, lines in enumerate(everyone) if lines}
        if wrong:
            text = "; ".join(f"on rank {rank} {', '.join(lines)}" for rank, lines in wrong.items())
            message = f"the engine that runs is not the one of the plan: {text}."
            place = self._trainer.parts.plan.config.place("device")
            next_step = "look at what starts the processes, and at the versions of accelerate and torch"
            raise SwiftError(Problem("wrong-engine", message, place, next_step))

    def planned(self) -> dict[str, Any]:
        """Return what the plan says."""
        plan = self._trainer.parts.plan
        train, parallel = plan.settings.train, plan.parallel
        values: dict[str, Any] = {
            "engine": parallel.method,
            "world": parallel.world,
            "accumulation": train.gradient_accumulation_steps,
            "clipping": float(train.max_grad_norm),
            "mixed_precision": "no",
            "dtype": self._types,
        }
        if parallel.method == "fsdp2":
            values |= {name: parallel.values[name] for name in ("reshard_after_forward", "cpu_offload")}
            values["packed_weights_left_whole"] = 0
        if parallel.method == "tp":
            values["tensor_parallel_size"] = parallel.world
        if parallel.method == "device_map":
            devices = {name: device_name(device) for name, device in self._trainer.parts.facts["device_map"].items()}
            is_spread = len(set(devices.values())) > 1
            values |= {"engine": "device_map" if is_spread else "single", "device_map": devices}
        return values


def live_engine(trainer: SwiftTrainer) -> dict[str, Any]:
    """Return what runs: engine, world, accumulation, clipping and types, asked of the engine itself where it knows."""
    wrapped: Any = trainer.model_wrapped
    accelerator = trainer.accelerator
    live: dict[str, Any] = {
        "engine": engine_of(wrapped),
        "world": dist.get_world_size() if dist.is_initialized() else 1,
        "accumulation": trainer.args.gradient_accumulation_steps,
        "clipping": float(trainer.args.max_grad_norm),
        "mixed_precision": str(accelerator.mixed_precision),
        "dtype": _types(trainer.module),
    }
    if live["engine"].startswith("zero"):
        live |= {
            "world": int(wrapped.dp_world_size),
            "accumulation": int(wrapped.gradient_accumulation_steps()),
            "clipping": float(wrapped.gradient_clipping()),
        }
    if live["engine"] == "fsdp2":
        live |= _sharding(wrapped)
    if live["engine"] == "tp":
        live["tensor_parallel_size"] = tensor_parallel_size(wrapped)
    if device_map := trainer.parts.facts.get("device_map"):
        live["device_map"] = devices_by_module(trainer.module, device_map)
    return live


def engine_of(wrapped: nn.Module) -> str:
    """Return the method that `wrapped` is of: the type of what was put around the model, or of its parameters."""
    from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel

    if isinstance(wrapped, FSDPModule):
        return "fsdp2"
    if isinstance(wrapped, FullyShardedDataParallel):
        return "fsdp1"
    if isinstance(wrapped, DistributedDataParallel):
        return "ddp"
    if hasattr(wrapped, "zero_optimization_stage"):  # DeepSpeed's engine, without importing it
        return f"zero{wrapped.zero_optimization_stage()}"  # type: ignore[operator]
    if is_spread(wrapped):
        return "device_map"
    if tensor_parallel_size(wrapped) > 1:
        return "tp"
    return "single" if not isinstance(wrapped, nn.DataParallel) else "data_parallel"


def _sharding(wrapped: Any) -> dict[str, Any]:
    """Return how FSDP2 treats the layers: the root and the tail never give their weights back between passes."""
    from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule

    inner = [module for module in wrapped.modules() if isinstance(module, FSDPModule) and module is not wrapped]
    groups = [group for module in inner for group in [module._get_fsdp_state()._fsdp_param_group] if group is not None]
    return {
        "reshard_after_forward": any(group.post_forward_mesh_info is not None for group in groups),
        "cpu_offload": any(isinstance(group.offload_policy, CPUOffloadPolicy) for group in groups),
        "packed_weights_left_whole": sum(type(each).__name__ == "Params4bit" for each in wrapped.parameters()),
    }


def _types(module: nn.Module) -> str:
    """Return the types of trained and of frozen weights: `float32`, or `float32 on bfloat16`."""
    trained = {parameter.dtype for parameter in module.parameters() if parameter.requires_grad}
    frozen = {parameter.dtype for parameter in module.parameters() if not parameter.requires_grad}
    return " on ".join(_names(types) for types in (trained, frozen) if types)


def _names(types: set[torch.dtype]) -> str:
    return "/".join(sorted(str(dtype).removeprefix("torch.") for dtype in types))
