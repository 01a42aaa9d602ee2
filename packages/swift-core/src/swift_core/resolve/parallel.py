"""How processes share the run: whether the method, its options, the launcher and the other parts go together.

What does not is refused here, before a model is loaded: libraries underneath would drop it without a word.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from swift_core.contracts.parallel import CHOICES, PRESETS, SHARDED, Parallel, parallel_of
from swift_core.plugins.policy import did_you_mean
from swift_core.resolve.device_map import check_device_map, check_spread_optimizer
from swift_core.resolve.tensor_parallel import check_sizes, check_tensor_parallel

if TYPE_CHECKING:
    from swift_core.contracts.handover import RunConfig, RunPlan
    from swift_core.resolve.findings import Findings
    from swift_core.resolve.machine import Machine
    from swift_core.resolve.parts import Looked

_KWARGS = "device.engine_kwargs"
_METHOD = "device.parallel_method"

_LAUNCHED = {"fsdp": ("fsdp2",), "deepspeed": ("zero2", "zero3")}
"""What `accelerate launch` was told to run -> the methods that are this."""


def launch_line(config: RunConfig) -> str:
    """Return the command that trains this run file; on several machines it is given on each of them."""
    device, path = config.settings.device, shlex.quote(str(config.path))
    if device.nodes > 1:
        each = device.num_processes // device.nodes
        return (
            f"TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 torchrun --nnodes {device.nodes} --nproc-per-node {each} "
            f"--rdzv-backend c10d --rdzv-endpoint FIRST_MACHINE:29500 --max-restarts 3 "
            f"-m swift_core train {path} --resume auto"
        )
    return f"swift train {path}" + (f" --nproc {device.num_processes}" if device.num_processes > 1 else "")


def check_parallel(findings: Findings, machine: Machine) -> None:
    """Keep what is wrong with the method and its options, for this machine and what started the processes."""
    device = findings.config.settings.device
    method = device.parallel_method
    for name, value in device.engine_kwargs.items():
        _check_option(findings, method, name, value)
    check_device_map(findings, machine)
    check_sizes(findings)
    if device.num_processes % device.nodes:
        message = f"{device.num_processes} processes cannot be shared evenly by {device.nodes} machines"
        findings.wrong("process-count", message, "device.nodes", "let num_processes be a multiple of nodes")
    if method in SHARDED and device.num_processes == 1:
        message = f"{method} shares the work between processes, and there is one"
        findings.wrong("process-count", message, _METHOD, "write num_processes, or parallel_method: single")
    if method.startswith("zero") and "deepspeed" not in machine.packages:
        message = f"{method} is run by the package deepspeed, which is not installed"
        findings.wrong("missing-package", message, _METHOD, "pip install deepspeed, or write parallel_method: fsdp2")
    _check_launcher(findings, machine, method)


def _check_option(findings: Findings, method: str, name: str, value: Any) -> None:
    preset, key = PRESETS[method], f"{_KWARGS}.{name}"
    if name not in preset:
        known = f"its options are {', '.join(preset)}" if preset else "it has none"
        message = f"{method} has no option {name!r}; {known}.{did_you_mean(name, list(preset))}"
        findings.wrong_key("unknown-option", message, key, "swift plan RUN_FILE shows every option with its value")
        return
    default = preset[name]
    if method == "device_map":  # whose options are of several types: `check_device_map` looks at them
        return
    if name in CHOICES and value not in CHOICES[name]:
        words = " or ".join(CHOICES[name])
        findings.wrong("wrong-value", f"{name} of {method} must be {words}, got {value!r}", key, "write one of them")
    elif isinstance(default, bool) is not isinstance(value, bool) or not isinstance(value, type(default)):
        kinds = {bool: "true or false", int: "a whole number", list: "a list of names", dict: "a mapping"}
        kind = kinds.get(type(default), "a word")
        findings.wrong("wrong-value", f"{name} of {method} must be {kind}, got {value!r}", key, f"write {default!r}")


def _check_launcher(findings: Findings, machine: Machine, method: str) -> None:
    """Keep what `accelerate launch` was told otherwise than the run file says: one of the two would be ignored."""
    launched = machine.launched_engine
    if launched and method not in _LAUNCHED.get(launched, ()):
        message = f"accelerate launch was told to run {launched}, and the run file says {method}"
        meant = _LAUNCHED.get(launched, ())
        write = f"write parallel_method: {meant[-1]}, or " if meant else ""
        findings.wrong("wrong-engine", message, _METHOD, f"{write}start it with swift train --nproc, or torchrun")
    if machine.launched_precision not in ("no", ""):
        message = f"accelerate launch was told mixed_precision: {machine.launched_precision}, and no run file has that"
        findings.wrong("wrong-engine", message, "model.dtype", "say mixed_precision: no there, and model.dtype here")


_NEEDS = {
    "matrices": "works on whole matrices",
    "tensors": "takes norms or means over whole parameters",
}
"""What an optimizer that declares `works_on` cannot do without."""

_GIVEN = {
    "fsdp2": "gives every process some rows of each parameter, as DTensors",
    "tp": "gives every process some rows or columns of each matrix, as DTensors",
    "zero2": "gives every process a flat piece of all parameters",
    "zero3": "gives every process a flat piece of all parameters",
}


def check_optimizer_engine(findings: Findings, optimizer: Looked) -> None:
    """Keep why the optimizer cannot work on what the method gives it: it would train something else in silence."""
    device = findings.config.settings.device
    method, name = device.parallel_method, optimizer.plugin.name
    check_spread_optimizer(findings, optimizer)
    if method not in SHARDED:
        return
    works_on = str(optimizer.declared("works_on", ""))
    if works_on in _NEEDS:
        message = f"the optimizer {name!r} {_NEEDS[works_on]}, and {method} {_GIVEN[method]}"
    elif works_on not in ("elements", "memory"):
        message = f"{method} {_GIVEN[method]}, and the optimizer {name!r} does not say what it works on"
    else:
        return
    next_step = "write parallel_method: ddp, or choose an optimizer that moves every weight alone, such as adamw"
    findings.wrong("optimizer-engine", message, "train.optimizer_type", next_step)


def check_parts_engine(findings: Findings, plan: RunPlan) -> None:
    """Keep which parts put weights of their own into a model whose weights are kept elsewhere too, or in pieces."""
    method = plan.parallel.method
    check_tensor_parallel(findings, plan)
    for part in (plan.optimizer, *plan.callbacks) if method in SHARDED else ():
        is_optimizer = part.kind == "optimizer"
        if part.source.declared.get("puts_weights") and (plan.parallel.is_zero or not is_optimizer):
            message = f"{part.kind} {part.plugin.name!r} puts weights into the model, and {method} {_GIVEN[method]}"
            findings.wrong("engine-conflict", message, part.key, "leave it out, or write parallel_method: ddp")
    _check_own_weights(findings, plan, method)
    if method in SHARDED and plan.procedure.source.declared.get("model_head") == "dual_encoder":
        message = (
            f"stage {plan.procedure.plugin.name!r} trains two encoders that have no embedding of tokens in common, "
            f"by which {method} begins to cut a model"
        )
        findings.wrong("engine-conflict", message, "device.parallel_method", "write parallel_method: ddp")


def _check_own_weights(findings: Findings, plan: RunPlan, method: str) -> None:
    """Keep that a stage with weights of its own beside the model does not go with where the model's are."""
    if not plan.procedure.source.declared.get("puts_weights"):
        return
    stage = plan.procedure.plugin.name
    if method == "zero3":
        message = f"stage {stage!r} reads the head beside the model's forward pass, and {method} {_GIVEN[method]}"
        findings.wrong("engine-conflict", message, "train.stage", "write parallel_method: fsdp2, zero2 or ddp")
    elif method in SHARDED and plan.settings.train.save_strategy != "no":
        message = (
            f"stage {stage!r} keeps whole weights beside the model's in checkpoints, and {method} {_GIVEN[method]}"
        )
        next_step = 'write save_strategy: "no", or parallel_method: ddp'
        findings.wrong("engine-conflict", message, "train.stage", next_step)


def check_rest(findings: Findings) -> None:
    """Keep what else of the run file does not go with a method that shares weights, or their training, out."""
    settings = findings.config.settings
    parallel: Parallel = parallel_of(settings.device)
    if parallel.shards_weights:
        for key, is_on, why in (
            ("train.sync_ref_model", settings.train.sync_ref_model, "mixes whole weights into the reference"),
            ("rollout.max_resample_times", settings.rollout.max_resample_times, "lets processes draw unevenly often"),
            ("rollout.multi_turn", settings.rollout.multi_turn, "lets processes draw unevenly often"),
        ):
            if is_on:
                message = f"{key} {why}, and {parallel.method} {_GIVEN[parallel.method]}"
                findings.wrong("engine-conflict", message, key, "leave the key out, or write parallel_method: ddp")
    bits = settings.model.quantization_bit
    if parallel.method in SHARDED and bits and (parallel.method, bits) != ("fsdp2", 4):
        message = f"{parallel.method} cuts weights of one type of numbers into pieces, and {bits}-bit ones are packed"
        next_step = "write parallel_method: ddp, in which every process has all, or fsdp2 with 4 bits"
        findings.wrong("engine-conflict", message, "model.quantization_bit", next_step)
    if parallel.is_zero:
        _check_zero(findings, parallel.method)


def _check_zero(findings: Findings, method: str) -> None:
    """Keep what DeepSpeed does in a way that is not followed here."""
    model, train = findings.config.settings.model, findings.config.settings.train
    ddp = "write parallel_method: fsdp2, or ddp"
    if model.dtype not in ("auto", "float32"):
        message = f"{method} trains in float32 here, and model.dtype is {model.dtype}"
        findings.wrong("engine-conflict", message, "model.dtype", f"remove dtype, or {ddp}")
    if train.on_nonfinite == "skip":
        message = f"{method} takes a step before its gradient can be judged, so none can be left out"
        findings.wrong("engine-conflict", message, "train.on_nonfinite", f"write on_nonfinite: stop, or {ddp}")
