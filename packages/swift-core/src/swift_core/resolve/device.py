"""What cannot be had on this machine: refused with the reason and the nearest thing that can."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

from swift_core.contracts.handover import RunConfig, ValueOrigin
from swift_core.resolve.parallel import launch_line
from swift_core.resolve.tensor_parallel import with_method, with_size

if TYPE_CHECKING:
    from swift_core.resolve.findings import Findings
    from swift_core.resolve.machine import Machine
    from swift_core.resolve.parts import Looked


def check_device(findings: Findings, machine: Machine, tuner: Looked | None, *, planning: bool) -> RunConfig:
    """Keep what the run file asks of the machine in vain; return the config with the device as it will be.

    Args:
        findings: Where problems go.
        machine: What there is.
        tuner: The chosen tuner; quantised weights cannot be trained themselves.
        planning: Do not insist on processes being there: nothing is started.
    """
    findings.config = with_method(findings.config)
    there_are_gpus = _gpus(findings, machine)
    _quantisation(findings, machine, tuner)
    _attention(findings, machine)
    _dtype(findings, machine)
    return with_size(_processes(findings, machine, planning=planning) if there_are_gpus else findings.config)


def check_package_on_gpu(findings: Findings, machine: Machine, optimizer: Looked | None) -> None:
    """Keep that the optimizer needs a package on a GPU, where there is one and the package is not installed."""
    package = optimizer and optimizer.declared("needs_package_on_gpu")
    if not optimizer or not package or _on_cpu(findings.config, machine) or find_spec(str(package)):
        return
    message = f"the optimizer {optimizer.plugin.name!r} needs the package {package} on a GPU, and it is not installed"
    next_step = f"pip install {package}, or write device: {{use_cpu: true}}"
    findings.wrong("missing-package", message, "train.optimizer_type", next_step)


def note_package_on_cpu(findings: Findings, machine: Machine, optimizer: Looked | None) -> None:
    """Note which of its two forms the optimizer has on a CPU: that of a package, or its own where that is missing."""
    package = optimizer and optimizer.declared("takes_package_on_cpu")
    if not optimizer or not package or not _on_cpu(findings.config, machine):
        return
    name, project = optimizer.plugin.name, str(package).replace("_", "-")
    if find_spec(str(package)):
        findings.note(f"train.optimizer_type: {name} takes its steps with the kernels of {project}")
    else:
        missing = f"{project} is not installed, whose kernels are faster: pip install {project}"
        findings.note(f"train.optimizer_type: {name} takes its steps in plain torch; {missing}")


def _on_cpu(config: RunConfig, machine: Machine) -> bool:
    return config.settings.device.use_cpu or machine.num_gpus == 0


def _why_no_gpu(config: RunConfig, machine: Machine) -> str:
    if config.settings.device.use_cpu:
        return "device.use_cpu is true"
    if machine.hidden_gpus:
        return "CUDA_VISIBLE_DEVICES hides every GPU of this machine"
    return "this machine has no GPU"


def _gpus(findings: Findings, machine: Machine) -> bool:
    """Say whether there are as many GPUs as `num_gpus` asks for."""
    config = findings.config
    asked = config.shorthands.get("device.num_gpus")
    if not asked:
        return True
    noun = "GPU" if asked == 1 else "GPUs"
    if _on_cpu(config, machine):
        message = f"device.num_gpus asks for {asked} {noun}, and {_why_no_gpu(config, machine)}"
        remove = "remove use_cpu" if config.settings.device.use_cpu and machine.num_gpus else "remove num_gpus"
        findings.wrong("no-gpu", message, "device.num_gpus", f"{remove}; without it one process trains on the CPU")
    elif asked > machine.num_gpus:
        have = _have(machine)
        message = f"device.num_gpus asks for {asked} {noun}, and {have}"
        findings.wrong("too-few-gpus", message, "device.num_gpus", f"write num_gpus: {machine.num_gpus}")
    else:
        return True
    return False


def _have(machine: Machine) -> str:
    hidden = f" ({machine.hidden_gpus} more are hidden by CUDA_VISIBLE_DEVICES)" if machine.hidden_gpus else ""
    return f"this machine has {machine.num_gpus}{hidden}"


def _processes(findings: Findings, machine: Machine, *, planning: bool) -> RunConfig:
    config = findings.config
    device, world = config.settings.device, machine.world_size
    asked = device.num_processes
    key = "device.num_gpus" if "device.num_gpus" in config.shorthands else "device.num_processes"
    if world is not None and world > 1 and world != asked:
        if "device.num_processes" not in config.origins and device.parallel_method != "single":
            return _with_device(config, num_processes=world, note=f"torchrun started {world}")
        message = f"torchrun started {world} processes, and the run file asks for {asked}"
        findings.wrong("process-count", message, key, f"write device: {{num_processes: {world}}}")
        return config
    if asked == 1:
        return config
    if device.parallel_method == "single" and "device.parallel_method" in config.origins:
        message = f"parallel_method: single is one process, and {key} asks for {asked}"
        findings.wrong("process-count", message, "device.parallel_method", "write parallel_method: ddp")
        return config
    here = machine.local_world_size or -(-asked // device.nodes)  # other machines have GPUs of their own
    if not _on_cpu(config, machine) and here > machine.num_gpus and key == "device.num_processes":
        message = f"{key} asks for {here} processes with a GPU each, and {_have(machine)}"
        findings.wrong("too-few-gpus", message, key, f"write num_processes: {machine.num_gpus}, or use_cpu: true")
        return config
    if world is None and not planning:
        message = f"{key} asks for {asked} processes, and swift train is one unless it is told --nproc"
        findings.wrong("no-launcher", message, key, launch_line(config))
    return _with_device(config, num_processes=asked, note="several processes")


def _with_device(config: RunConfig, *, num_processes: int, note: str) -> RunConfig:
    method = config.settings.device.parallel_method
    method = "ddp" if method == "single" else method
    device = replace(config.settings.device, num_processes=num_processes, parallel_method=method)
    origins = dict(config.origins)
    for key in ("device.num_processes", "device.parallel_method"):
        origins.setdefault(key, ValueOrigin("chosen", note=note))
    return replace(config, settings=replace(config.settings, device=device), origins=origins)


def _quantisation(findings: Findings, machine: Machine, tuner: Looked | None) -> None:
    config = findings.config
    bits, key = config.settings.model.quantization_bit, "model.quantization_bit"
    if not bits:
        return
    if bits == 4 and _on_cpu(config, machine):
        why = "4-bit weights give gradients on a GPU only: bitsandbytes packs them on a CPU to answer"
        message = f"{why}, and {_why_no_gpu(config, machine)}"
        next_step = "write quantization_bit: 8, or `dtype: bfloat16` with tuner_strategy: lora"
        findings.wrong("no-gpu", message, key, next_step)
    elif "bitsandbytes" not in machine.packages:
        message = f"{bits}-bit weights need the package bitsandbytes, which is not installed"
        by_tuner = config.origins[key].kind == "chosen"
        other = "write tuner_strategy: lora" if by_tuner else "remove quantization_bit"
        findings.wrong("missing-package", message, key, f"pip install bitsandbytes, or {other}")
    elif _on_cpu(config, machine):
        findings.note(f"model.quantization_bit: a CPU unpacks {bits}-bit weights at each use: less memory, more time")
    if tuner and tuner.declared("trains_adapter") is False:
        message = f"{bits}-bit weights cannot be trained themselves, and the tuner {tuner.plugin.name!r} does that"
        findings.wrong("quantised-full", message, key, "write tuner_strategy: lora, or remove quantization_bit")


def _attention(findings: Findings, machine: Machine) -> None:
    config = findings.config
    key = "model.attn_implementation"
    if config.settings.model.attn_implementation != "flash_attention_2":
        return
    if _on_cpu(config, machine):
        message = f"flash_attention_2 runs on a GPU only, and {_why_no_gpu(config, machine)}"
        findings.wrong("no-gpu", message, key, "write attn_implementation: sdpa; it is exact and runs everywhere")
    elif "flash_attn" not in machine.packages:
        message = "flash_attention_2 needs the package flash_attn, which is not installed"
        findings.wrong("missing-package", message, key, "write attn_implementation: sdpa, or pip install flash-attn")
    if config.settings.model.dtype == "float32":
        message = "flash_attention_2 takes bfloat16 or float16, and model.dtype is float32"
        findings.wrong("dtype-mismatch", message, "model.dtype", "write dtype: bfloat16")


def _dtype(findings: Findings, machine: Machine) -> None:
    config = findings.config
    dtype = config.settings.model.dtype
    if dtype == "float16" and _on_cpu(config, machine):
        message = f"float16 is not trained on a CPU, and {_why_no_gpu(config, machine)}"
        nearest = "bfloat16" if machine.has_bf16_units else "float32"
        findings.wrong("no-gpu", message, "model.dtype", f"write dtype: {nearest}")
    if dtype == "bfloat16" and _on_cpu(config, machine) and not machine.has_bf16_units:
        findings.note("model.dtype: bfloat16 halves memory, but this CPU has no bfloat16 units: float32 is faster")
