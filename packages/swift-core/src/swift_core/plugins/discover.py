"""One scan of everything installed, for all kinds of plugins at once. It reads names and imports nothing.

A folder of `sys.path` holds one `NAME-VERSION.dist-info` (or `.egg-info`) per installed distribution, and in it
`entry_points.txt`. `importlib.metadata` reads the same files; it is not used because importing it alone costs three
times what the scan costs, and one call of it per kind scans once per kind.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from swift_core.contracts.plugin import Origin, PluginSpec
from swift_core.plugins.kinds import GROUPS

FIRST_PARTY = frozenset({"swift-core", "swift-loss-zoo", "swift-optim-zoo", "swift-reward-zoo", "swift-native"})
"""Distributions of this project. A bare name that one of them brings means theirs, whatever else is installed."""

NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
"""A well-formed plugin name."""

_TARGET = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*:\s*([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\s*(?:\[.*\])?\s*\Z")
_SEPARATORS = re.compile(r"[-_.]+")


class Distribution(NamedTuple):
    """An installed distribution, known by the name of its metadata folder."""

    name: str
    """Normalised: lower case, words joined by `-`."""

    version: str
    folder: str
    """Path of its `.dist-info` or `.egg-info`."""


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


def normalised(name: str) -> str:
    """Return a distribution name in the form that compares equal for all its spellings (PEP 503)."""
    return _SEPARATORS.sub("-", name).lower()


def scan(paths: Iterable[str] | None = None) -> Scan:
    """Read what the folders of `paths` (`sys.path` when left out) have installed."""
    distributions: dict[str, Distribution] = {}
    specs: list[PluginSpec] = []
    findings: list[Finding] = []
    for distribution in _distributions(sys.path if paths is None else paths):
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


def _distributions(paths: Iterable[str]) -> Iterator[Distribution]:
    """Yield distributions in the order in which Python would find them; the same folder on the path twice counts once."""
    seen = set()
    for path in paths:
        folder = os.path.realpath(path or os.curdir)
        if folder in seen:
            continue
        seen.add(folder)
        try:
            with os.scandir(folder) as entries:
                names = sorted(entry.name for entry in entries if entry.name.endswith((".dist-info", ".egg-info")))
        except OSError:  # not a folder, or gone: Python ignores such entries too
            continue
        for name in names:
            yield _distribution(folder, name)


def _distribution(folder: str, metadata: str) -> Distribution:
    path = os.path.join(folder, metadata)
    name, _, rest = metadata[: -len(".dist-info")].partition("-")
    version = rest if metadata.endswith(".dist-info") else re.sub(r"-py\d.*\Z", "", rest)
    return Distribution(normalised(name), version or _version_in(path), path)


def _version_in(path: str) -> str:
    """Return the version that an unversioned `.egg-info` states in its metadata; empty when it states none."""
    text = metadata_text(path)
    match = re.search(r"^Version: *(\S+)", text, re.MULTILINE)
    return match[1] if match else ""


def metadata_text(folder: str) -> str:
    """Return the METADATA (or PKG-INFO) of a metadata folder, or an empty string when it has none."""
    for path in (os.path.join(folder, "METADATA"), os.path.join(folder, "PKG-INFO"), folder):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            continue
    return ""


def _entry_points_text(distribution: Distribution, findings: list[Finding]) -> str:
    try:
        with open(os.path.join(distribution.folder, "entry_points.txt"), encoding="utf-8") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, UnicodeDecodeError) as error:
        findings.append(Finding("unreadable-entry-points", distribution.name, f"entry_points.txt: {error}"))
        return ""


def _specs(distribution: Distribution, text: str, findings: list[Finding]) -> Iterator[PluginSpec]:
    """Yield the plugins that an `entry_points.txt` lists; odd lines become findings."""
    origin = _origin(distribution)
    claimed = set()
    for group, name, value in _entries(text):
        kind = GROUPS.get(group)
        if kind is None:
            if group.startswith("swift.") and group + "s" in GROUPS:
                message = f"the entry-point group {group!r} is not one of swift's; {group + 's'!r} is"
                findings.append(Finding("unknown-group", distribution.name, message))
            continue
        target = _TARGET.match(value)
        if not NAME.match(name):
            message = f"{name!r} in {group} is not a plugin name: lower-case letters, digits and `_`, a letter first"
            findings.append(Finding("invalid-name", distribution.name, message))
        elif target is None:
            message = f"{name!r} in {group} points to {value!r}, which is not `module:attribute`"
            findings.append(Finding("invalid-target", distribution.name, message))
        elif (group, name) in claimed:
            findings.append(Finding("repeated-name", distribution.name, f"{name!r} stands twice in {group}"))
        else:
            claimed.add((group, name))
            yield PluginSpec(
                kind=kind.name,
                name=name,
                target=f"{target[1]}:{target[2]}",
                distribution=distribution.name,
                version=distribution.version,
                origin=origin,
                first_party=distribution.name in FIRST_PARTY,
            )


def _entries(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (group, name, value) of an `entry_points.txt`, whose format is that of the packaging specification."""
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
        elif line and line[0] not in "#;" and "=" in line:
            name, _, value = line.partition("=")
            yield group, name.strip(), value.strip()


def _origin(distribution: Distribution) -> Origin:
    """Say whether the distribution is installed in place, so that its files may change under a run (PEP 610)."""
    if distribution.folder.endswith(".egg-info"):
        return "wheel" if "-packages" in distribution.folder else "editable"
    try:
        with open(os.path.join(distribution.folder, "direct_url.json"), encoding="utf-8", errors="replace") as file:
            return "editable" if re.search(r'"editable"\s*:\s*true', file.read()) else "wheel"
    except OSError:
        return "wheel"
