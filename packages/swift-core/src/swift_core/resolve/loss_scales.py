"""The loss scales of a run: which contexts are trained at all is decided by one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.contracts.handover import PartPlan
    from swift_core.resolve.parts import Looked, PartFinder

KEY = "train.loss_scale"
WEIGHED_ROWS = ("tokens", "pairs", "unpaired")
"""Kinds of rows whose answers are learned token by token; in pairs and unpaired rows a weight is 1 or 0."""


def find_loss_scales(finder: PartFinder, procedure: Looked | None) -> tuple[PartPlan, ...]:
    """Return the loss scales, the one that decides what is trained first; `default` is it when none is named."""
    named = finder.config.settings.train.loss_scale
    if not named:
        return ()
    if procedure and procedure.declared("rows", "tokens") not in WEIGHED_ROWS:
        name = procedure.plugin.name
        message = f"loss scales weigh the tokens of answers, and stage {name!r} learns no tokens of data"
        finder.findings.wrong_key("stage-mismatch", message, KEY, "remove the key, or train with stage sft")
        return ()
    if procedure and procedure.plugin.name == "pt":
        message = "loss scales weigh the turns of conversations, and stage 'pt' trains every token alike"
        finder.findings.wrong_key("stage-mismatch", message, KEY, "remove the key, or train with stage sft")
        return ()
    parts = finder.listed("loss_scale", KEY, named)
    bases = [part for part in parts if part.source.declared.get("base")]
    if len(bases) > 1:
        names = " and ".join(part.plugin.name for part in bases)
        finder.findings.wrong("given-twice", f"{names} each decide what is trained", bases[1].key, "keep one of them")
    _check_own_answers(finder, procedure, parts)
    if bases or len(parts) != len(named):
        return (*bases, *(part for part in parts if part not in bases))
    looked = finder.look("loss_scale", KEY, "swift-core:default")
    return (*((finder.part(looked, {}, KEY),) if looked else ()), *parts)


def _check_own_answers(finder: PartFinder, procedure: Looked | None, parts: Sequence[PartPlan]) -> None:
    """Keep a problem for what cannot be weighed: answers that the model draws itself have no pieces of data."""
    lmbda = finder.config.settings.rollout.lmbda
    if procedure is None or not procedure.declared("samples") or lmbda == 0:
        return
    for part in parts:
        declared = part.source.declared
        if not declared.get("base") or declared.get("trains_prompts"):
            message = (
                f"the loss scale {part.plugin.name!r} weighs what the data says, and with rollout.lmbda {lmbda:g} "
                f"stage {procedure.plugin.name!r} trains answers that the model draws itself"
            )
            finder.findings.wrong("stage-mismatch", message, part.key, "write rollout: {lmbda: 0}, or remove it")
