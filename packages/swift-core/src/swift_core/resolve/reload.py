"""What of a run may be taken anew while it trains: parts in local files that keep no weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swift_core.contracts.handover import PartPlan, RunPlan
    from swift_core.resolve.findings import Findings

KEY = "plugins.reload"

KINDS = {"losses": ("loss",), "rewards": ("orm", "prm"), "metrics": ("metric",), "callbacks": ("callback",)}
"""Word in `plugins.reload` -> the kinds of parts that it means."""

_REFUSED = {
    "optimizers": "the state of an optimizer belongs to its code",
    "schedulers": "a schedule is made for all steps of a run",
    "tuners": "a tuner has made the model that is trained",
    "models": "the model is what is trained",
    "trainers": "a procedure is the loop that would have to reload it",
}


def check_reload(findings: Findings, plan: RunPlan | None) -> None:
    """Keep what cannot be taken anew, and note which files are watched."""
    words = findings.config.settings.plugins.reload
    for index, word in enumerate(words):
        if word not in KINDS:
            reason = _REFUSED.get(word, "it is no kind of part")
            message = f"{word!r} cannot be taken anew while training: {reason}"
            findings.wrong("cannot-reload", message, f"{KEY}.{index}", f"choose from {', '.join(KINDS)}")
    if words and plan is not None:
        names = sorted({part.plugin.path.name for part in reloadable(plan) if part.plugin.path is not None})
        findings.note(f"{KEY} watches {', '.join(names) or 'nothing: no such part is a Python file of this run'}")


def reloadable(plan: RunPlan) -> Iterator[PartPlan]:
    """Yield the parts that `plugins.reload` watches: those of its kinds that are Python files."""
    kinds = [kind for word in plan.settings.plugins.reload for kind in KINDS.get(word, ())]
    for part in (plan.loss, *plan.metrics, *plan.rewards, *plan.callbacks):
        path = part.plugin.path
        if part.kind in kinds and path is not None and path.suffix == ".py":
            yield part
