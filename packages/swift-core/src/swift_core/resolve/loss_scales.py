"""The loss scales of a run: which contexts are trained at all is decided by one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swift_core.contracts.handover import PartPlan
    from swift_core.resolve.parts import Looked, PartFinder

KEY = "train.loss_scale"


def find_loss_scales(finder: PartFinder, procedure: Looked | None) -> tuple[PartPlan, ...]:
    """Return the loss scales, the one that decides what is trained first; `default` is it when none is named."""
    named = finder.config.settings.train.loss_scale
    if not named:
        return ()
    if procedure and procedure.declared("rows", "tokens") != "tokens":
        message = (
            f"loss scales weigh tokens, and the losses of stage {procedure.plugin.name!r} do not read token weights"
        )
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
    if bases or len(parts) != len(named):
        return (*bases, *(part for part in parts if part not in bases))
    looked = finder.look("loss_scale", KEY, "swift-core:default")
    return (*((finder.part(looked, {}, KEY),) if looked else ()), *parts)
