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


def loss_meant(finder: PartFinder, key: str, name: str) -> str:
    """Return the name that `name` at `key` means; an installed loss of that very name comes first. Keeps a note."""
    meant = LOSS_ALIASES.get(name)
    if meant is None or any(spec.name == name for spec in finder.registry.specs("loss")):
        return name
    if key:
        finder.findings.note(f"{key}: {name} means {meant}")
    return meant
