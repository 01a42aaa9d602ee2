"""Names of losses that users bring from other programs. `swift plan` shows what they mean here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swift_core.resolve.parts import PartFinder

LOSS_ALIASES = {
    "alphapo": "alpha_po",
    "exo_pair": "exo",
    "nca_pair": "nca",
    "nll": "cross_entropy",
    "robust": "robust_dpo",
    "sft": "chosen_nll",
    "sigmoid": "dpo",
}
"""Name elsewhere -> name of the loss here."""


FAMILY_ALIASES = {
    "ClassOutputs": {
        "bce": "class_cross_entropy",
        "cross_entropy": "class_cross_entropy",
        "focal": "class_focal",
        "mse": "class_squared_error",
    },
    "ScoreOutputs": {"bradley_terry": "reward_model"},
    "StepOutputs": {"cross_entropy": "prm"},
}
"""Family that a stage feeds -> what a name means in such a stage, where the loss of that name is one on tokens."""


def loss_meant(finder: PartFinder, key: str, name: str, feeds: str = "") -> str:
    """Return the name that `name` at `key` means in a stage that feeds `feeds`. Keeps a note.

    An installed loss of that very name comes first, but for a first-party one that cannot be meant in that stage.
    """
    in_stage = FAMILY_ALIASES.get(feeds, {}).get(name)
    meant = in_stage or LOSS_ALIASES.get(name)
    named = [spec for spec in finder.registry.specs("loss") if spec.name == name]
    if meant is None or any(not (spec.first_party and in_stage) for spec in named):
        return name
    if key:
        finder.findings.note(f"{key}: {name} means {meant}")
    return meant
