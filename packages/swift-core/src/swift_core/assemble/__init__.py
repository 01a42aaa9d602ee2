"""From a plan to live objects: model, tuner, data, loss, optimizer, callbacks."""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

    from swift_core.contracts.data import TextEncoder
    from swift_core.contracts.handover import Parts, RunPlan


def assemble(plan: RunPlan, directory: Path, *, resume: Path | None = None) -> Parts:
    """Return the live parts of `plan`.

    What is cheap comes first: a refused file, a broken part or a bad row stops the run before a model is loaded.

    Args:
        plan: What to build.
        directory: The run directory.
        resume: The checkpoint to go on from; None starts at the beginning.

    Raises:
        SwiftError: A part, the data or the model cannot be used, or memory ran out.
    """
    from swift_core.assemble.broken_part import naming_memory

    with naming_memory(plan, "model and data were loaded"):
        return _assembled(plan, directory, resume)


def _assembled(plan: RunPlan, directory: Path, resume: Path | None) -> Parts:
    from swift_core.assemble.apart import ask_about_files, build_metrics, check_sandbox
    from swift_core.assemble.hooks import build_hooks

    ask_about_files(plan)  # files run only from trusted folders: ask before torch is imported
    check_sandbox(plan)
    hooks = build_hooks(plan)
    hooks.hook.swift_plan_ready(plan=plan)

    import torch
    import transformers

    from swift_core.assemble.callbacks import build_callbacks
    from swift_core.assemble.cut import check_cut
    from swift_core.assemble.data.load import load_data
    from swift_core.assemble.device_map import device_map_of
    from swift_core.assemble.lines import refuse_model
    from swift_core.assemble.model import encoder_of, fetch, load_model, load_reference, load_teacher, tokenizer_for
    from swift_core.assemble.needs import needed_columns, needs_reference
    from swift_core.assemble.optimizer import build_optimizer, build_scheduler
    from swift_core.assemble.packing import packed
    from swift_core.assemble.reward_checks import check_prompt_rows, check_rewards
    from swift_core.assemble.rewards import build_rewards
    from swift_core.assemble.tuner import apply_tuner, check_on_shape, tuner_callbacks
    from swift_core.assemble.turns import build_turns, check_conversations
    from swift_core.cache import cache_dir
    from swift_core.contracts.handover import Parts

    transformers.set_seed(plan.settings.train.seed)
    procedure, loss, tuner = plan.load(plan.procedure), plan.create(plan.loss), plan.create(plan.tuner)
    metrics = build_metrics(plan)
    reads_reference = needs_reference(plan, loss)
    rewards, callbacks = build_rewards(plan), [*tuner_callbacks(plan, tuner), *build_callbacks(plan)]
    for part in (plan.optimizer, plan.scheduler):
        plan.load(part)

    turns = build_turns(plan)

    folder = fetch(plan, plan.settings.model.model_id, "model.model_id")
    refuse_model(plan, folder)
    check_on_shape(plan, tuner, folder)
    check_cut(plan, folder)
    device_map = device_map_of(plan, folder)
    tokenizer = tokenizer_for(plan, folder)
    encoder = encoder_of(plan, tokenizer, folder)
    data = packed(plan, load_data(plan, encoder, needed_columns(plan, loss)))
    check_conversations(plan, chain(data.train, data.eval_records))
    draws = plan.procedure.source.declared.get("rows") == "prompts"
    if draws:
        check_prompt_rows(plan, rewards, data.train)
    if draws or any(metric.eats == "generations" for _, metric in metrics):
        check_rewards(plan, rewards, data.eval_records)
    base = load_model(plan, folder, tokenizer, head_config=data.head_config, device_map=device_map)
    reference = load_reference(plan, base) if reads_reference else None
    teacher = load_teacher(plan, base)
    torch.manual_seed(plan.settings.train.seed)
    model = apply_tuner(plan, tuner, base)
    return Parts(
        plan=plan,
        directory=directory,
        cache=cache_dir(),
        model=model,
        tokenizer=tokenizer,
        encoder=encoder,
        tuner=tuner,
        procedure=procedure,
        loss=loss,
        reference=reference,
        teacher=teacher,
        train_dataset=data.train,
        eval_dataset=data.eval,
        eval_records=data.eval_records,
        collator=data.collator,
        make_optimizer=partial(build_optimizer, plan, dataset=data.train, tuner=tuner),
        make_scheduler=partial(build_scheduler, plan),
        metrics=metrics,
        rewards=rewards,
        engine=_engine(plan, folder, encoder),
        turns=turns,
        callbacks=callbacks,
        hooks=hooks,
        facts={**data.facts, **model_facts(model), **({"device_map": device_map} if device_map else {})},
        resume_from=resume,
    )


def _engine(plan: RunPlan, folder: Path, encoder: TextEncoder) -> Any:
    """Return what generates, given what it asks for but the model; None in stages that draw no answers."""
    from swift_core.assemble.engine import build_engine

    engine = build_engine(plan)
    for hook, value in (("use_encoder", encoder), ("open", folder)):
        if hasattr(engine, hook):
            getattr(engine, hook)(value)
    return engine


def model_facts(model: PreTrainedModel) -> dict[str, Any]:
    """Return what is worth keeping of a live model: its size, what of it is trained, its type, device and threads."""
    import torch

    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "trained_parameters": sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad),
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
        "num_threads": torch.get_num_threads(),
    }
