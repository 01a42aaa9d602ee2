"""Settings that only make sense together, checked once the parts are known."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from swift_core.errors import Problem
from swift_core.resolve.stage import FAMILY_WORDS
from swift_core.resolve.tuner import check_tuner

if TYPE_CHECKING:
    from swift_core.contracts.handover import PartPlan, RunConfig, RunPlan
    from swift_core.resolve.findings import Findings

TRACKERS = {
    "clearml": "clearml",
    "codecarbon": "codecarbon",
    "comet_ml": "comet_ml",
    "dvclive": "dvclive",
    "mlflow": "mlflow",
    "neptune": "neptune",
    "swanlab": "swanlab",
    "tensorboard": "tensorboard",
    "trackio": "trackio",
    "wandb": "wandb",
}
"""Tracker of transformers -> the package it needs."""


def check_settings(findings: Findings, plan: RunPlan | None, *, sampling: bool = False) -> None:
    """Keep what contradicts itself, and note what has no effect."""
    _held_out(findings)
    _trackers(findings)
    _without_effect(findings)
    _reference_updates(findings)
    if plan:
        _packages(findings, plan)
        _reference(findings, plan)
        if not sampling:
            _sampling(findings, plan)
        if plan.rewards and not plan.settings.train.metrics and plan.procedure.source.declared.get("rows") != "prompts":
            findings.note("the section reward has no effect: no metric of train.metrics reads rewards")
        _lines(findings, plan)
        check_tuner(findings, plan)
        _metrics(findings, plan)
        _steps(findings, plan)


def _held_out(findings: Findings) -> None:
    settings = findings.config.settings
    if settings.data.val_dataset or settings.data.split_dataset_ratio:
        return
    next_step = "give data.val_dataset, or data.split_dataset_ratio: 0.05"
    if settings.train.eval_strategy != "no":
        message = f"train.eval_strategy: {settings.train.eval_strategy} needs held-out data, and there is none"
        findings.wrong("no-held-out-data", message, "train.eval_strategy", next_step)
    if settings.train.metrics:
        message = "train.metrics are computed on held-out data, and there is none"
        findings.wrong("no-held-out-data", message, "train.metrics", next_step)


def _trackers(findings: Findings) -> None:
    for index, name in enumerate(findings.config.settings.train.report_to):
        key = f"train.report_to.{index}"
        if name in ("none", "all"):
            findings.wrong(
                "unknown-tracker", f"{name!r} is not the name of a tracker", key, "name each tracker, or remove the key"
            )
        elif name not in TRACKERS:
            findings.wrong("unknown-tracker", f"no tracker named {name!r}", key, f"known: {', '.join(TRACKERS)}")
        elif importlib.util.find_spec(TRACKERS[name]) is None:
            message = f"the tracker {name!r} needs the package {TRACKERS[name]}, which is not installed"
            findings.wrong("missing-package", message, key, f"pip install {TRACKERS[name]}")


def _packages(findings: Findings, plan: RunPlan) -> None:
    for part in plan.parts:
        package = part.source.declared.get("needs_package")
        if package and importlib.util.find_spec(str(package)) is None:
            message = f"the {part.kind} {part.plugin.name!r} needs the package {package}, which is not installed"
            extra = part.source.declared.get("install_with")
            name = f"'{extra}'" if extra else package
            findings.wrong("missing-package", message, part.key, f"pip install {name}")


def _without_effect(findings: Findings) -> None:
    config = findings.config
    train = config.settings.train
    for key, strategy in (("eval_steps", train.eval_strategy), ("save_steps", train.save_strategy)):
        if f"train.{key}" in config.origins and strategy != "steps":
            name = key.replace("_steps", "_strategy")
            findings.note(f"train.{key} has no effect with train.{name}: {strategy}")
    if "train.num_train_epochs" in config.origins and train.max_steps > 0:
        findings.note("train.num_train_epochs has no effect: train.max_steps wins")


def _sampling(findings: Findings, plan: RunPlan) -> None:
    """Keep problems of stages that sample or distil without what they need, and note what has no effect."""
    config, declared, stage = findings.config, plan.procedure.source.declared, plan.procedure.plugin.name
    if declared.get("rows") == "prompts" and not (config.settings.reward.orms or config.settings.reward.prms):
        message = f"stage {stage!r} trains on rewards, and there is none"
        findings.wrong(
            "missing-key", message, "train.stage", "write reward: {orms: [math]}; swift plugins list --kind orm"
        )
    if declared.get("rows") == "prompts" and declared.get("feeds") == "PairOutputs":
        _pairs_of_own_answers(findings, stage)
    if declared.get("samples") and config.settings.train.precompute_ref_log_probs:
        message = f"stage {stage!r} draws its answers while it trains: nothing of the reference can be computed before"
        findings.wrong_key("contradiction", message, "train.precompute_ref_log_probs", "remove the key")
    if declared.get("needs_teacher") and not config.settings.model.teacher_model_id:
        message = f"stage {stage!r} needs a teacher, and model.teacher_model_id is not given"
        findings.wrong("missing-key", message, "train.stage", "write model.teacher_model_id: a folder or hub id")
    if not declared.get("needs_teacher") and config.settings.model.teacher_model_id:
        message = f"model.teacher_model_id would do nothing: stage {stage!r} has no teacher"
        findings.wrong_key("unused-key", message, "model.teacher_model_id", "remove the key, or write train.stage: gkd")
    if plan.engine:
        _weights_of_engine(findings, plan, plan.engine, stage)
    if not declared.get("samples"):
        for key in sorted(key for key in config.origins if key.startswith("rollout.") and key.count(".") == 1):
            findings.note(f"{key} has no effect in stage {stage!r}, which draws no answers; swift sample reads it")


def _weights_of_engine(findings: Findings, plan: RunPlan, engine: PartPlan, stage: str) -> None:
    """Keep a problem for an engine that would go on answering with the weights of the start."""
    takes = engine.source.declared.get("takes_weights", True)
    name, method = engine.plugin.name, plan.parallel.method
    if takes is False or (isinstance(takes, str) and not engine.options.get(takes)):
        message = (
            f"the engine {name!r} cannot take over the weights that stage {stage!r} changes,"
            " and would answer with those of another model"
        )
        way = f", or give it the option {takes!r} (swift plugins info engine/{name})" if takes else ""
        findings.wrong("engine-weights", message, "rollout.engine", f"write rollout.engine: transformers{way}")
    elif isinstance(takes, str) and plan.parallel.shards_weights and plan.tuner.source.declared.get("trains_adapter"):
        message = f"{method} shares weights out, and adapters are merged into whole ones for the engine {name!r}"
        next_step = "write parallel_method: ddp, or tuner_strategy: full"
        findings.wrong("engine-conflict", message, "rollout.engine", next_step)


def _pairs_of_own_answers(findings: Findings, stage: str) -> None:
    config = findings.config
    if config.settings.rollout.num_generations < 2:
        message = f"stage {stage!r} makes a pair of two answers to a prompt, and one is drawn"
        findings.wrong("too-few-answers", message, "rollout.num_generations", "write rollout: {num_generations: 2}")
    if "rollout.advantages" in config.origins:
        why = "the best answer is compared with the worst"
        findings.note(f"rollout.advantages has no effect in stage {stage!r}: {why}")


def _reference_updates(findings: Findings) -> None:
    config = findings.config
    train = config.settings.train
    if train.sync_ref_model and train.precompute_ref_log_probs:
        message = "train.precompute_ref_log_probs keeps what a reference said once, and sync_ref_model changes it"
        findings.wrong_key("contradiction", message, "train.precompute_ref_log_probs", "remove one of the two")
    if not train.sync_ref_model:
        for key in ("train.ref_model_mixup_alpha", "train.ref_model_sync_steps"):
            if key in config.origins:
                findings.note(f"{key} has no effect without train.sync_ref_model: true")


def _reference(findings: Findings, plan: RunPlan) -> None:
    """Keep a problem for keys about a reference model that the loss does not read, whatever its options."""
    readers = (plan.loss.source, plan.procedure.source)
    if plan.loss.source.readable and not any(source.declared.get("needs_reference") for source in readers):
        findings.problems += unread_reference(findings.config, plan.loss.plugin.name)


def unread_reference(config: RunConfig, loss: str) -> list[Problem]:
    """Return a problem for each key about a reference model, which the loss does not read."""
    model, train = config.settings.model, config.settings.train
    written = {
        "model.ref_model_id": bool(model.ref_model_id),
        "train.sync_ref_model": train.sync_ref_model,
        "train.precompute_ref_log_probs": train.precompute_ref_log_probs,
    }
    return [
        Problem(
            "unused-key",
            f"{key} would do nothing: the loss {loss!r} reads no reference model",
            config.key_places.get(key) or config.place(key),
            "remove the key, or choose a loss that needs a reference",
        )
        for key, is_set in written.items()
        if is_set
    ]


def _metrics(findings: Findings, plan: RunPlan) -> None:
    """Keep a problem for metrics that read what the stage does not give: other predictions, or answers."""
    declared, stage = plan.procedure.source.declared, plan.procedure.plugin.name
    feeds, head = str(declared.get("feeds", "")), declared.get("model_head", "causal_lm")
    advice = f"remove it{REPORTED.get(feeds, '')}"
    for part in plan.metrics:
        eats, families = part.source.declared.get("eats"), part.source.declared.get("families", ("TokenOutputs",))
        name = part.plugin.name
        if eats == "generations" and head != "causal_lm":
            message = f"metric {name!r} reads generated answers, and the model of stage {stage!r} generates none"
            findings.wrong("metric-does-not-fit-stage", message, part.key, advice)
        elif eats == "predictions" and feeds not in families:
            wanted = " or ".join(FAMILY_WORDS.get(family, family) for family in families)
            given = FAMILY_WORDS.get(feeds, feeds)
            message = f"metric {name!r} reads predictions on {wanted}, and stage {stage!r} has {given}"
            findings.wrong("metric-does-not-fit-stage", message, part.key, advice)


REPORTED = {
    "PairOutputs": ": losses on pairs report eval_reward_accuracy and eval_reward_margin themselves",
    "ScoreOutputs": ": the loss reports eval_reward_accuracy and eval_reward_margin itself",
    "StepOutputs": ": the loss reports eval_step_accuracy itself, and first_error_f1 judges whole solutions",
    "ContrastiveOutputs": ": the loss reports eval_image_accuracy itself, and retrieval looks at all rows",
    "ClassOutputs": ": the loss reports eval_accuracy itself, and macro_f1 counts each class alike",
}
"""What is measured without a metric, by what the procedure feeds."""


def _steps(findings: Findings, plan: RunPlan) -> None:
    """Note settings of steps in a stage without steps."""
    if plan.procedure.source.declared.get("rows") != "steps":
        for key in ("data.step_separator", "data.train_on_last_step_only"):
            if key in findings.config.origins:
                findings.note(f"{key} has no effect: stage {plan.procedure.plugin.name} has no steps")


def _lines(findings: Findings, plan: RunPlan) -> None:
    """Keep a problem for rows that are to stand in one line and have no use or no way for it."""
    settings, stage = findings.config.settings, plan.procedure.plugin.name
    rows = plan.procedure.source.declared.get("rows", "tokens")
    if settings.train.packing and rows != "tokens":
        message = (
            f"train.packing fills places with rows of one answer, as in the stages sft and pt; {stage!r} has others"
        )
        next_step = "remove the key" + ("; train.share_prompt saves the prompts of pairs" if rows == "pairs" else "")
        findings.wrong_key("packing-stage", message, "train.packing", next_step)
    if settings.train.share_prompt is not True:
        return
    if rows != "pairs":
        message = f"train.share_prompt: true would do nothing: the stage {stage!r} has no pairs of answers"
        findings.wrong_key("unused-key", message, "train.share_prompt", "remove the key")
    elif settings.model.attn_implementation == "flash_attention_2":
        message = "flash attention cannot let two answers see one prompt"
        findings.wrong("cannot-share-prompt", message, "train.share_prompt", "write model.attn_implementation: sdpa")
