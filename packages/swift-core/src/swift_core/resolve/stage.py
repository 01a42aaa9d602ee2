"""The procedure and the loss: `train.stage`, `train.loss_type` and `data.task_type` read together."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from swift_core.contracts.procedure import ROWS
from swift_core.errors import SwiftError
from swift_core.resolve.aliases import loss_meant, loss_of_stage, refuse

if TYPE_CHECKING:
    from swift_core.contracts.handover import PartPlan
    from swift_core.resolve.parts import Looked, PartFinder

STAGES_OF_LOSSES = {"PairOutputs": "dpo", "UnpairedOutputs": "kto", "PolicyOutputs": "grpo", "DistillOutputs": "gkd"}
"""Families whose losses are stages by their names, and the stage that such a name means."""

FAMILY_WORDS = {
    "TokenOutputs": "single answers",
    "PairOutputs": "pairs of answers",
    "UnpairedOutputs": "labelled answers",
    "PolicyOutputs": "sampled answers with advantages",
    "DistillOutputs": "a student and a teacher",
    "ClassOutputs": "classes of texts",
    "ScoreOutputs": "scores of two answers",
    "StepOutputs": "labelled steps",
    "ContrastiveOutputs": "images with their texts",
}


def find_stage(finder: PartFinder) -> tuple[Looked | None, str]:
    """Return the procedure, and the loss name that the stage itself gives (empty when it gives none)."""
    config, findings = finder.config, finder.findings
    stage, key = config.settings.train.stage, "train.stage"
    if "data.task_type" in config.shorthands and key not in config.origins:
        findings.note("data.task_type: preference means train.stage: dpo")
        return finder.look("trainer", "data.task_type", "dpo"), ""
    try:
        procedure = finder.try_look("trainer", key, stage)
    except SwiftError as error:
        return _stage_of_loss(finder, stage, error)
    if "data.task_type" in config.shorthands and procedure.declared("rows") != "pairs":
        message = f"data.task_type: preference needs a stage on pairs, and train.stage is {stage!r}"
        findings.wrong("stage-mismatch", message, "data.task_type", "write train.stage: dpo, or remove task_type")
    if (rows := procedure.declared("rows")) is not None and rows not in ROWS:
        message = f"{procedure.plugin.whose} declares the rows {rows!r}, which core does not make; it makes "
        findings.wrong("broken-plugin", f"{message}{', '.join(ROWS)}", key, procedure.plugin.info_command)
    return procedure, ""


def find_loss(finder: PartFinder, procedure: Looked | None, named_by_stage: str) -> Looked | None:
    """Return the loss, after checking that it eats what the procedure feeds."""
    feeds = str(procedure.declared("feeds", "")) if procedure else ""
    written = finder.config.settings.train.loss_type
    if refuse(finder, "train.loss_type", written, stage=named_by_stage):
        return None
    in_stage = loss_of_stage(finder, named_by_stage, written)
    loss_type = in_stage or loss_meant(finder, "train.loss_type", written, feeds)
    if named_by_stage and not in_stage and loss_type not in ("auto", named_by_stage):
        message = f"train.stage names the loss {named_by_stage!r} and train.loss_type names {loss_type!r}"
        stage = procedure.plugin.name if procedure else "dpo"
        finder.findings.wrong(
            "given-twice", message, "train.loss_type", f"write train.stage: {stage}, or remove loss_type"
        )
        return None
    if loss_type != "auto":
        loss = finder.look("loss", "train.loss_type", loss_type)
    elif named_by_stage:
        loss = finder.look("loss", "train.stage", named_by_stage)
    elif procedure:
        loss = _default_loss(finder, procedure)
    else:
        return None
    if loss and procedure:
        _check_family(finder, procedure, loss)
    return loss


def _default_loss(finder: PartFinder, procedure: Looked) -> Looked | None:
    name = procedure.declared("default_loss", "")
    if not name:
        message = f"the stage {procedure.plugin.name!r} has no loss of its own"
        finder.findings.wrong("missing-key", message, "train.stage", "write train.loss_type")
        return None
    return finder.look("loss", "train.loss_type", name)


def _stage_of_loss(finder: PartFinder, stage: str, error: SwiftError) -> tuple[Looked | None, str]:
    """Take `stage` as the name of a pair loss; else keep `error`, which says that it is no procedure."""
    stage, written = loss_meant(finder, "train.stage", stage), stage
    try:
        loss = finder.try_look("loss", "train.stage", stage)
    except SwiftError as not_a_loss:
        known = _known_stages(finder)
        if refuse(finder, "train.stage", written):
            return None, ""
        if error.problems[0].code == "unknown-plugin" == not_a_loss.problems[0].code:
            as_stages = [name for family in STAGES_OF_LOSSES for name in _losses_for(finder, family)]
            close = difflib.get_close_matches(written, [*known, *as_stages], n=1, cutoff=0.6)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            message = f"no stage named {written!r}.{hint} Stages: {', '.join(known)}"
            finder.findings.wrong("unknown-plugin", message, "train.stage", "swift plugins list --kind trainer")
        else:
            finder.findings.adopt(error, "train.stage")
        return None, ""
    if meant := STAGES_OF_LOSSES.get(loss.family):
        finder.findings.note(f"train.stage: {stage} means stage {meant} with the loss {stage}")
        return finder.look("trainer", "train.stage", meant), stage
    message = f"{stage!r} is a loss on {FAMILY_WORDS.get(loss.family, 'other data')}, not a stage"
    if fitting := _stages_for(finder, loss.family):
        next_step = f"write train.stage: {fitting[0]} and train.loss_type: {stage}"
    else:
        message += f", and no stage feeds it yet. Stages: {', '.join(_known_stages(finder))}"
        next_step = "swift plugins list --kind trainer"
    finder.findings.wrong("unknown-plugin", message, "train.stage", next_step)
    return None, ""


def _known_stages(finder: PartFinder) -> list[str]:
    return sorted({spec.name for spec in finder.registry.specs("trainer")})


def _check_family(finder: PartFinder, procedure: Looked, loss: Looked) -> None:
    feeds = procedure.declared("feeds", "")
    if not loss.family or not feeds or loss.family == feeds:
        return
    wanted, given = FAMILY_WORDS.get(loss.family, loss.family), FAMILY_WORDS.get(feeds, feeds)
    stages = _stages_for(finder, loss.family)
    message = (
        f"the loss {loss.plugin.name!r} reads {wanted} ({loss.family}), and the stage "
        f"{procedure.plugin.name!r} gives {given} ({feeds})"
    )
    fitting = _losses_for(finder, feeds)
    ways = [f"write train.stage: {stages[0]}"] if stages else []
    ways += [f"choose a loss for this stage: {', '.join(fitting)}"] if 0 < len(fitting) < 5 else []
    finder.findings.wrong(
        "stage-mismatch", message, loss.key, ", or ".join(ways) or "swift plugins list --kind trainer"
    )


def _stages_for(finder: PartFinder, family: str) -> list[str]:
    """Return the stages of ours that feed `family`, sft and dpo before others."""
    found = []
    for spec in finder.registry.specs("trainer"):
        looked = finder.look("trainer", "train.stage", spec.qualified) if spec.first_party else None
        found += [spec.name] if looked and looked.declared("feeds", "") == family else []
    return sorted(found, key=lambda name: (name not in ("sft", "dpo"), name))


def _losses_for(finder: PartFinder, family: str) -> list[str]:
    names = []
    for spec in finder.registry.specs("loss"):
        if spec.first_party:
            looked = finder.look("loss", "train.loss_type", spec.qualified)
            names += [spec.name] if looked and looked.family == family else []
    return sorted(names)


def procedure_part(finder: PartFinder, procedure: Looked | None) -> PartPlan | None:
    """Return the procedure as a part; it has no options."""
    return finder.part(procedure, {}, "train") if procedure else None
