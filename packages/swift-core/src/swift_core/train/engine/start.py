"""What Trainer and accelerate are told of an engine: every value of the plan; nothing is left to their defaults.

accelerate drops FSDP and DeepSpeed without a word where it computes on CPUs. Both run there over gloo; its state is
therefore made here for them, as one of several devices that happen to be CPUs.
"""

from __future__ import annotations

import importlib
import os
import warnings
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from swift_core.contracts.handover import RunPlan
    from swift_core.contracts.parallel import Parallel


def engine_arguments(plan: RunPlan, *, on_cpu: bool, model: Any, has_media: bool = False) -> dict[str, Any]:
    """Return what `transformers.TrainingArguments` is told of the engine; make accelerate's state where it must be.

    Args:
        plan: The run.
        on_cpu: Whether it computes on CPUs.
        model: The model, not wrapped yet.
        has_media: Whether rows have images or sounds. A tower may have weights that nothing reads, as the last norm of
            CLIP's under LLaVA, and a process may have a batch without images: DDP then looks which weights took part.
    """
    parallel = plan.parallel
    values = dict(parallel.values)
    if parallel.method in ("single", "ddp", "device_map"):
        names = {"bucket_cap_mb", "broadcast_buffers", "static_graph"} & set(values)
        ddp = {f"ddp_{name}": values[name] for name in names}
        looks = has_media and not values.get("static_graph")
        return {"use_cpu": on_cpu, "ddp_find_unused_parameters": looks, **ddp}
    told: dict[str, Any]
    if parallel.is_zero:
        told = {"deepspeed": zero_config(plan)}
    elif parallel.method == "fsdp2":
        told = {"fsdp": True, "fsdp_config": _fsdp(values, model)}
    else:  # Trainer would refuse checkpoints of such a model; `shards` writes and reads its optimizer's state
        told = {"save_only_model": True}
    if parallel.is_zero:  # it calls torch by names that torch is about to give up
        warnings.filterwarnings("ignore", message=r"`torch\.distributed\..*` is deprecated", category=FutureWarning)
    if on_cpu:
        _make_cpu_state(parallel)
        told["accelerator_config"] = {"use_configured_state": True}
    return told


def _fsdp(values: dict[str, Any], model: Any) -> dict[str, Any]:
    layers = list(values["wrap"]) or layer_classes(model)
    return {
        "version": 2,
        "reshard_after_forward": values["reshard_after_forward"],
        "cpu_offload": values["cpu_offload"],
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        **({"transformer_layer_cls_to_wrap": layers} if layers else {}),
        "state_dict_type": f"{values['state_dict'].upper()}_STATE_DICT",
        "cpu_ram_efficient_loading": False,
        "activation_checkpointing": False,  # Trainer's own serves all engines
    }


def layer_classes(model: Any) -> list[str]:
    """Return the names of classes that transformers keeps whole, of those that are in the model.

    accelerate stops at one that is not: LLaVA's list has layers of CLIP's text tower, which it lacks.
    """
    present = {type(module).__name__ for module in model.modules()}
    return sorted(present.intersection(getattr(model, "_no_split_modules", None) or ()))


def zero_config(plan: RunPlan) -> dict[str, Any]:
    """Return DeepSpeed's configuration, without an `auto` in it."""
    train, parallel = plan.settings.train, plan.parallel
    values = dict(parallel.values)
    zero: dict[str, Any] = {"stage": parallel.stage}
    for name in ("offload_optimizer", "offload_param"):
        if values.pop(name, False):
            zero[name] = {"device": "cpu", "pin_memory": True}
    if parallel.stage == 3:
        zero["stage3_gather_16bit_weights_on_model_save"] = True
    accumulation, rows = train.gradient_accumulation_steps, train.per_device_train_batch_size
    return {
        "train_micro_batch_size_per_gpu": rows,
        "gradient_accumulation_steps": accumulation,
        "train_batch_size": rows * accumulation * parallel.world,
        "gradient_clipping": float(train.max_grad_norm),
        "bf16": {"enabled": False},
        "fp16": {"enabled": False},
        "zero_optimization": {**zero, **values},
        "zero_allow_untested_optimizer": True,  # what an optimizer works on is checked by `resolve`
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 2**62,
        "wall_clock_breakdown": False,
    }


def _make_cpu_state(parallel: Parallel) -> None:
    """Make accelerate's state for processes on CPUs, such that it runs the engine that it is told."""
    state_of: Any = importlib.import_module("accelerate.state")  # without types
    state_of.AcceleratorState._reset_state(reset_partial_state=True)
    asked = {"ACCELERATE_TORCH_DEVICE": "cpu", "DS_ACCELERATOR": "cpu"}
    if parallel.is_zero:
        asked["ACCELERATE_USE_DEEPSPEED"] = "true"
    before = {name: os.environ.get(name) for name in asked}
    os.environ.update(asked)
    try:
        state = state_of.PartialState(cpu=False, backend="gloo")
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    if not parallel.is_zero:
        state.distributed_type = state_of.DistributedType.MULTI_GPU
    torch.distributed.barrier()
