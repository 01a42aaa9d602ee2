"""One model held by several processes together: tensor parallelism, and what of it cannot be had."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from swift_core.contracts.handover import RunConfig, ValueOrigin

if TYPE_CHECKING:
    from swift_core.contracts.handover import RunPlan
    from swift_core.resolve.findings import Findings

_METHOD, _SIZE, _CONTEXT = "device.parallel_method", "device.tensor_parallel_size", "device.context_parallel_size"
_FSDP = "write parallel_method: fsdp2"


def with_method(config: RunConfig) -> RunConfig:
    """Return the config with the method that `tensor_parallel_size` means, where none is named."""
    device = config.settings.device
    if device.tensor_parallel_size > 1 and _METHOD not in config.origins:
        return _changed(config, "parallel_method", "tp", "tensor_parallel_size is more than 1")
    return config


def with_size(config: RunConfig) -> RunConfig:
    """Return the config with the number of processes that hold one model under `tp`: all, where none is named."""
    device = config.settings.device
    if device.parallel_method == "tp" and _SIZE not in config.origins:
        return _changed(config, "tensor_parallel_size", device.num_processes, "all processes")
    return config


def _changed(config: RunConfig, name: str, value: Any, note: str) -> RunConfig:
    device = replace(config.settings.device, **{name: value})
    origins = {**config.origins, f"device.{name}": ValueOrigin("chosen", note=note)}
    return replace(config, settings=replace(config.settings, device=device), origins=origins)


def check_sizes(findings: Findings) -> None:
    """Keep which sizes do not go with the method and the number of processes."""
    device = findings.config.settings.device
    size = device.tensor_parallel_size
    if device.context_parallel_size > 1:
        message = (
            "tokens of one row are not shared among processes: torch's ring attention takes the place of CUDA's kernel "
            "calls alone and takes no mask, so that rows of several lengths cannot be told from their padding"
        )
        findings.wrong("not-there", message, _CONTEXT, "remove the key; train.packing and fsdp2 save memory, too")
    if size > 1 and device.parallel_method != "tp":
        message = (
            f"tensor_parallel_size: {size} cuts the weights, and so does parallel_method: {device.parallel_method}"
        )
        if device.parallel_method in ("single", "ddp", "device_map"):
            message = (
                f"tensor_parallel_size: {size} is a method of its own, and the run file says {device.parallel_method}"
            )
        findings.wrong("engine-conflict", message, _SIZE, "write parallel_method: tp, or remove tensor_parallel_size")
    elif size > 1 and size != device.num_processes:
        message = (
            f"tensor_parallel_size is {size} and there are {device.num_processes} processes: groups that share rows "
            "out beside it are not tried"
        )
        findings.wrong("process-count", message, _SIZE, f"write num_processes: {size}, or {_FSDP}")


def check_tensor_parallel(findings: Findings, plan: RunPlan) -> None:
    """Keep which parts of the run do not work on a model that is cut by its matrices."""
    if plan.parallel.method != "tp":
        return
    settings, procedure = plan.settings, plan.procedure
    declared = procedure.source.declared
    name = procedure.plugin.name
    conflicts = (
        (
            declared.get("model_head", "causal_lm") != "causal_lm",
            "train.stage",
            f"stage {name!r} trains a head of its own, which no plan of transformers cuts",
        ),
        (
            bool(declared.get("samples")),
            "train.stage",
            f"stage {name!r} draws answers, which each process would draw otherwise",
        ),
        (
            bool(plan.tuner.source.declared.get("trains_adapter")),
            "train.tuner_strategy",
            f"the tuner {plan.tuner.plugin.name!r} adds whole matrices beside cut ones, whose shapes differ",
        ),
        (bool(settings.model.quantization_bit), "model.quantization_bit", "quantised weights are packed"),
        (settings.train.update_in_backward, "train.update_in_backward", "parameters move before they are agreed on"),
    )
    for is_on, key, why in conflicts:
        if is_on:
            message = f"{why}, and tp cuts the matrices of the model"
            findings.wrong("engine-conflict", message, key, f"{_FSDP}, or change the key")
