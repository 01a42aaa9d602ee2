"""The figures of `swift plan`: sizes, lengths, steps and memory, from headers and the data itself, without torch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from swift_core.assemble.data.survey import DataSurvey, model_folder, survey
from swift_core.assemble.dtype import DtypeChoice, resolve_dtype
from swift_core.resolve.machine import this_machine
from swift_core.resolve.memory import Memory, estimate, width_of_trained
from swift_core.resolve.model_facts import ModelFacts, read_model
from swift_core.resolve.parallel import launch_line
from swift_core.resolve.state_bytes import state_bytes
from swift_core.resolve.trainable import count_trainable, head_weights, saved_bytes, trained_shapes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swift_core.contracts.handover import RunPlan


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """What is known of a run before it starts; None where it cannot be known yet."""

    model: ModelFacts | None
    dtype: DtypeChoice | None
    trainable: int | None
    data: DataSurvey | None
    memory: Memory | None
    launch: str


def gather(plan: RunPlan) -> PlanFacts:
    """Look at the model's headers and at the data; raises SwiftError for data that training would refuse."""
    folder = model_folder(plan)
    model = read_model(folder) if folder else None
    if model and not model.shapes:
        model = None
    dtype = _dtype(plan, model) if model else None
    data = survey(plan)
    trainable = _trainable(plan, model, data) if model else None
    memory = _memory(plan, model, dtype, trainable, data) if model and dtype and trainable is not None else None
    return PlanFacts(model, dtype, trainable, data, memory, launch_line(plan.config))


def _trainable(plan: RunPlan, model: ModelFacts, data: DataSurvey | None) -> int | None:
    """Return the number of trained weights, with those of a new classification head; None where it is not known."""
    head = str(plan.procedure.source.declared.get("model_head", "causal_lm"))
    count = count_trainable(plan.tuner, model)
    if count is None or (head != "causal_lm" and data is None):
        return None
    num_labels = len(data.labels) if data else 0
    all_trained = count >= model.num_parameters
    added = head_weights(model, head, num_labels)
    return count + (added if all_trained else max(added, 0))


def _dtype(plan: RunPlan, model: ModelFacts) -> DtypeChoice:
    adapter = bool(plan.tuner.source.declared.get("trains_adapter"))
    return resolve_dtype(plan.settings, adapter, model.num_parameters, this_machine())


def _is_paired(plan: RunPlan) -> bool:
    return plan.procedure.source.declared.get("rows") in ("pairs", "scores")


def _memory(plan: RunPlan, model: ModelFacts, dtype: DtypeChoice, trainable: int, data: DataSurvey | None) -> Memory:
    known = data.lengths if data and not plan.settings.train.packing else None
    longest = known.longest if known else plan.settings.data.max_length
    reads = any(part.source.declared.get("needs_reference") for part in (plan.loss, plan.procedure))
    needs_copy = reads and (
        plan.settings.model.ref_model_id
        or plan.settings.train.sync_ref_model
        or not plan.tuner.source.declared.get("trains_adapter")
    )
    shapes = trained_shapes(plan.tuner, model) or {"": (trainable,)}
    in_backward = plan.settings.train.update_in_backward or plan.optimizer.source.declared.get("updates_in_backward")
    return estimate(
        plan.settings,
        model,
        dtype=dtype.name,
        trainable=trainable,
        state_bytes=state_bytes(plan.optimizer, shapes, width_of_trained(dtype.name, trainable, model)),
        num_gradients=max(map(math.prod, shapes.values()), default=0) if in_backward else trainable,
        rows_per_batch=plan.settings.train.per_device_train_batch_size * (2 if _is_paired(plan) else 1),
        tokens_per_row=min(longest, plan.settings.data.max_length),
        copies=2 if needs_copy else 1,
        num_outputs=len(data.labels) if data else 0,
    )


def summary(plan: RunPlan, facts: PlanFacts) -> list[tuple[str, str]]:
    """Return the lines that stand first in `swift plan`, as (word, text)."""
    lines = [("run", _run_line(plan)), ("model", _model_line(plan, facts)), ("trained", _trained_line(plan, facts))]
    lines += [("data", text) for text in _data_lines(plan, facts)]
    lines += [("steps", _steps_line(plan, facts)), ("memory", _memory_line(facts)), ("launch", facts.launch)]
    return lines


def _run_line(plan: RunPlan) -> str:
    train = plan.settings.train
    loss, optimizer = plan.loss.plugin.name, plan.optimizer.plugin.name
    return (
        f"stage {plan.procedure.plugin.name}, loss {loss}, optimizer {optimizer}, learning rate {train.learning_rate:g}"
    )


def _model_line(plan: RunPlan, facts: PlanFacts) -> str:
    name = plan.settings.model.model_id
    if facts.model is None or facts.dtype is None:
        return f"{name}, not on this machine yet: its size is known once it is made or fetched"
    return f"{name}, {facts.model.num_parameters:,} parameters in {facts.dtype.name} ({facts.dtype.reason})"


def _trained_line(plan: RunPlan, facts: PlanFacts) -> str:
    tuner = plan.tuner.plugin.name
    if facts.trainable is None or facts.model is None:
        return f"{tuner}: the number of trained weights is known once the model is loaded"
    share = facts.trainable / max(facts.model.num_parameters, 1)
    line = f"{tuner}: {facts.trainable:,} weights, {share:.1%} of the model's number"
    frozen = facts.model.num_parameters
    if not plan.tuner.source.declared.get("trains_adapter"):
        frozen -= count_trainable(plan.tuner, facts.model) or 0
    saved = saved_bytes(plan.tuner, facts.model)
    return f"{line}; {frozen:,} frozen" + (f"; the adapter takes {_size(saved)}" if saved is not None else "")


def _data_lines(plan: RunPlan, facts: PlanFacts) -> Iterator[str]:
    data = facts.data
    if data is None:
        yield "some of it would have to be downloaded first: rows and lengths are not known"
        return
    held_out = f", {data.num_held_out:,} held out" if data.num_held_out else ", none held out"
    formats = ", ".join(f"{source.reference} ({source.format})" for source in data.sources)
    yield f"{data.num_rows:,} rows to train on{held_out}: {formats}"
    if lengths := data.lengths:
        end = "" if data.labels else f"; end of turn {'trained' if lengths.ends_trained else 'NOT trained'}"
        yield (
            f"tokens per row: p50 {lengths.p50:,}, p99 {lengths.p99:,}, longest {lengths.longest:,} "
            f"of {plan.settings.data.max_length:,}{end}"
        )
        yield _overlong(plan, data)
    yield from data.notes


def _overlong(plan: RunPlan, data: DataSurvey) -> str:
    lengths = data.lengths
    assert lengths is not None
    if not lengths.num_overlong:
        return "no row is longer than data.max_length: nothing is cut or dropped"
    fate = {
        "drop": f"{lengths.num_dropped:,} of them dropped",
        "truncate": f"{lengths.num_truncated:,} of them truncated, {lengths.num_answers_cut:,} in the answer",
        "error": "which stops the run",
    }
    overlong = plan.settings.data.overlong
    return f"{lengths.num_overlong:,} rows are longer than data.max_length; overlong: {overlong}, {fate[overlong]}"


def _steps_line(plan: RunPlan, facts: PlanFacts) -> str:
    train = plan.settings.train
    processes = plan.parallel.num_shares
    batch = train.per_device_train_batch_size * train.gradient_accumulation_steps * processes
    factors = f"{train.per_device_train_batch_size} x {train.gradient_accumulation_steps} x {processes}"
    unit = "packs" if train.packing else "rows"
    effective = f"effective batch {batch} ({factors}: {unit}, accumulation, processes)"
    if facts.data is None:
        known = f"{train.max_steps:,}" if train.max_steps > 0 else f"{train.num_train_epochs:g} epochs"
        return f"{known}; {effective}"
    return f"{facts.data.num_steps:,}, {facts.data.steps_per_epoch:,} an epoch; {effective}"


def _memory_line(facts: PlanFacts) -> str:
    if facts.memory is None:
        return "known once the model is here"
    parts = asdict(facts.memory)
    shown = " + ".join(f"{name} {_size(size)}" for name, size in parts.items())
    return f"about {_size(facts.memory.total)} a device: {shown}"


def _size(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def facts_dict(facts: PlanFacts) -> dict[str, Any]:
    """Return the figures as JSON-able data."""
    model = facts.model
    return {
        "parameters": model.num_parameters if model else None,
        "trained_parameters": facts.trainable,
        "dtype": facts.dtype._asdict() if facts.dtype else None,
        "data": asdict(facts.data) if facts.data else None,
        "memory_bytes": {**asdict(facts.memory), "total": facts.memory.total} if facts.memory else None,
        "launch": facts.launch,
    }
