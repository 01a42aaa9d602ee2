"""What is wrong with what is installed, found without importing any of it. `swift doctor` shows it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from swift_core.plugins.discover import Finding, Scan
from swift_core.plugins.errors import PluginError
from swift_core.plugins.loading import require_compatible
from swift_core.plugins.options import read_source
from swift_core.plugins.standing import standings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swift_core.contracts.plugin import PluginSpec
    from swift_core.plugins.registry import Registry


def findings(registry: Registry) -> list[Finding]:
    """Return everything odd: about distributions, about their plugins, and about names that clash."""
    found = registry.found
    return [*found.findings, *_stale(found), *_plugin_findings(registry), *_clashes(registry)]


def _stale(found: Scan) -> Iterator[Finding]:
    """Yield the metadata folders that a failed or half-done installation left."""
    for distribution in found.distributions.values():
        folder = distribution.folder
        if os.path.basename(folder).startswith("~"):
            yield Finding("stale-distribution", distribution.name, f"{folder} is left over from pip; delete it")
        elif os.path.isdir(folder) and not any(
            os.path.isfile(os.path.join(folder, name)) for name in ("METADATA", "PKG-INFO")
        ):
            yield Finding(
                "stale-distribution", distribution.name, f"{folder} has no METADATA; delete it and install again"
            )


def _plugin_findings(registry: Registry) -> Iterator[Finding]:
    for name in dict.fromkeys(spec.distribution for spec in registry.found.specs):
        ours = [spec for spec in registry.found.specs if spec.distribution == name]
        try:
            require_compatible(ours[0], registry.found.distributions[name])
        except PluginError as error:
            yield Finding(error.code, name, error.message)
        yield from filter(None, map(_unreadable, ours))


def _unreadable(spec: PluginSpec) -> Finding | None:
    try:
        read_source(spec)
    except PluginError as error:
        return Finding(error.code, spec.distribution, error.message)
    return None


def _clashes(registry: Registry) -> Iterator[Finding]:
    for spec, standing in standings(registry).items():
        if standing != "ok":
            yield Finding("name", spec.distribution, f"the {spec.kind} {spec.name!r} is {standing}")
