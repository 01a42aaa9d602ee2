"""One scan of everything installed, for all kinds of plugins at once. It reads names and imports nothing."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from swift_core.contracts.plugin import Origin, PluginSpec
from swift_core.plugins.kinds import GROUPS, kind_named
from swift_core.plugins.metadata import Distribution, distributions_on, entries, entry_points_text, normalised

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Distribution", "Finding", "Scan", "is_plugin_name", "normalised", "scan"]

FIRST_PARTY = frozenset({"swift-core", "swift-loss-zoo", "swift-optim-zoo", "swift-reward-zoo", "swift-native"})
"""Distributions of this project. A bare name that one of them brings means theirs, whatever else is installed."""


class Finding(NamedTuple):
    """Something odd about an installed distribution. It stops nothing; `swift doctor` shows it."""

    code: str
    distribution: str
    message: str


class Scan(NamedTuple):
    """What one scan saw."""

    distributions: dict[str, Distribution]
    """By normalised name; the first on `sys.path` wins, as it does when Python imports."""

    specs: tuple[PluginSpec, ...]
    findings: tuple[Finding, ...]


def scan(paths: Iterable[str] | None = None) -> Scan:
    """Read what the folders of `paths` (`sys.path` when left out) have installed."""
    distributions: dict[str, Distribution] = {}
    specs: list[PluginSpec] = []
    findings: list[Finding] = []
    for distribution in distributions_on(paths):
        first = distributions.setdefault(distribution.name, distribution)
        if first is distribution:
            text = _entry_points_text(distribution, findings)
            if "swift." in text:
                specs += _specs(distribution, text, findings)
        elif first.folder != distribution.folder:
            message = f"{first.version} in {first.folder} hides {distribution.version} in {distribution.folder}"
            findings.append(Finding("duplicate-distribution", distribution.name, message))
    return Scan(distributions, tuple(sorted(specs, key=_order)), tuple(findings))


def _order(spec: PluginSpec) -> tuple[int, str, str]:
    return [kind.name for kind in GROUPS.values()].index(spec.kind), spec.name, spec.distribution


def _entry_points_text(distribution: Distribution, findings: list[Finding]) -> str:
    try:
        return entry_points_text(distribution)
    except (OSError, UnicodeDecodeError) as error:
        findings.append(Finding("unreadable-entry-points", distribution.name, f"entry_points.txt: {error}"))
        return ""


def _specs(distribution: Distribution, text: str, findings: list[Finding]) -> Iterator[PluginSpec]:
    """Yield the plugins that an `entry_points.txt` lists; odd lines become findings."""
    origin = _origin(distribution)
    claimed = set()
    for group, name, value in entries(text):
        kind = GROUPS.get(group)
        if kind is None:
            meant = kind_named(group) if group.startswith("swift.") else None
            if meant:
                message = f"the entry-point group {group!r} is not one of swift's; {meant.group!r} is"
                findings.append(Finding("unknown-group", distribution.name, message))
            continue
        target = _target(value)
        if not is_plugin_name(name):
            message = f"{name!r} in {group} is not a plugin name: lower-case letters, digits and `_`, a letter first"
            findings.append(Finding("invalid-name", distribution.name, message))
        elif not target:
            message = f"{name!r} in {group} points to {value!r}, which is not `module:attribute`"
            findings.append(Finding("invalid-target", distribution.name, message))
        elif (group, name) in claimed:
            findings.append(Finding("repeated-name", distribution.name, f"{name!r} stands twice in {group}"))
        else:
            claimed.add((group, name))
            yield PluginSpec(
                kind=kind.name,
                name=name,
                target=target,
                distribution=distribution.name,
                version=distribution.version,
                origin=origin,
                first_party=distribution.name in FIRST_PARTY,
            )


def is_plugin_name(name: str) -> bool:
    """Say whether a name is well formed: lower-case ASCII letters, digits and `_`, a letter first."""
    return name.isascii() and name.isidentifier() and name.islower() and name[0] != "_"


def _target(value: str) -> str:
    """Return `module:attribute` of an entry point's value, without extras; empty when it is something else."""
    module, _, attribute = (part.strip() for part in value.partition("[")[0].partition(":"))
    words = f"{module}.{attribute}".split(".")
    return f"{module}:{attribute}" if all(word.isidentifier() for word in words) else ""


def _origin(distribution: Distribution) -> Origin:
    """Say whether the distribution is installed in place, so that its files may change under a run (PEP 610)."""
    if distribution.folder.endswith(".egg-info"):
        return "wheel" if "-packages" in distribution.folder else "editable"
    try:
        with open(os.path.join(distribution.folder, "direct_url.json"), encoding="utf-8", errors="replace") as file:
            return "editable" if re.search(r'"editable"\s*:\s*true', file.read()) else "wheel"
    except OSError:
        return "wheel"
