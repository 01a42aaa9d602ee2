"""Files written for ms-swift in `plugins.ms_swift_files`: what they register becomes plugins of the run, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.errors import SwiftError
from swift_core.ms_swift.names import CALLBACK_LIST, DIALECT
from swift_core.ms_swift.read import read
from swift_core.plugins.files import path_in

if TYPE_CHECKING:
    from swift_core.contracts.handover import PartPlan
    from swift_core.contracts.plugin import PluginSpec
    from swift_core.plugins.registry import Registry
    from swift_core.resolve.findings import Findings
    from swift_core.resolve.parts import PartFinder

KEY = "plugins.ms_swift_files"


def with_ms_swift_files(findings: Findings, registry: Registry) -> Registry:
    """Return the registry with what the files register; what they have that has no place here becomes notes."""
    specs: list[PluginSpec] = []
    base = findings.config.path.parent
    for index, written in enumerate(findings.config.settings.plugins.ms_swift_files):
        try:
            reading = read(path_in(base, written), written)
        except SwiftError as error:
            findings.adopt(error, f"{KEY}.{index}")
            continue
        specs += reading.specs()
        for one in reading.left_out:
            findings.note(f"{written}:{one.line}: {one.message}")
        if not reading.registrations:
            message = f"{written} registers nothing in ms-swift's registries"
            findings.wrong("nothing-registered", message, f"{KEY}.{index}", "name its classes as ./file.py:NAME")
    return registry.with_files(specs) if specs else registry


def always_on(finder: PartFinder) -> tuple[PartPlan, ...]:
    """Return the callbacks that the files put into the list of those that take part in every run."""
    parts = []
    for spec in finder.registry.specs("callback"):
        if spec.dialect == DIALECT and spec.name.startswith(f"{CALLBACK_LIST}.") and spec.path is not None:
            looked = finder.look("callback", KEY, f"{spec.path}:{spec.name}")
            if looked:
                parts.append(finder.part(looked, {}, KEY))
                finder.findings.note(f"{spec.path.name}:{looked.source.line}: a callback of {CALLBACK_LIST} takes part")
    return tuple(parts)
