"""Which installed plugins may take part: the `plugins` section of a run file and the variable SWIFT_PLUGINS.

Decided from names and versions, before anything is imported.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from swift_core.plugins.errors import PluginError
from swift_core.plugins.kinds import kind_named
from swift_core.plugins.metadata import Distribution, normalised
from swift_core.plugins.registry import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swift_core.contracts.plugin import PluginSpec
    from swift_core.contracts.settings import PluginSettings

_RULE = re.compile(r"\s*([A-Za-z0-9*?\[\]._-]+?)\s*(?::\s*([a-z0-9_*?]+)\s*)?((?:[<>=!~]=?|===).*)?\Z")


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of an allow-list, a block-list or `require`: `acme-*`, `acme-losses>=1.4,<2`, `acme-losses:focal`."""

    text: str
    pattern: str
    name: str
    specifier: str

    @classmethod
    def parse(cls, text: str, section: str) -> Rule:
        """Read one entry; raise PluginError naming `section` when it is malformed."""
        match = _RULE.match(text)
        if match is None:
            raise _malformed(text, section)
        rule = cls(text, normalised(match[1]), match[2] or "", (match[3] or "").strip())
        if rule.specifier:
            _specifier_set(rule.specifier, text, section)
        return rule

    def covers(self, distribution: str, version: str) -> bool:
        """Say whether the distribution is meant."""
        return fnmatchcase(distribution, self.pattern) and (not self.specifier or satisfies(version, self.specifier))

    def covers_plugin(self, spec: PluginSpec) -> bool:
        """Say whether the plugin is meant, by its distribution or by itself."""
        return self.covers(spec.distribution, spec.version) and (not self.name or fnmatchcase(spec.name, self.name))


def satisfies(version: str, specifier: str) -> bool:
    """Say whether `version` is within `specifier` (PEP 440), pre-releases included; False for a malformed version."""
    from packaging.specifiers import SpecifierSet  # 25 ms; most runs name no version
    from packaging.version import InvalidVersion

    try:
        return SpecifierSet(specifier).contains(version, prereleases=True)
    except InvalidVersion:
        return False


def _specifier_set(specifier: str, text: str, section: str) -> None:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        SpecifierSet(specifier)
    except InvalidSpecifier:
        raise _malformed(text, section) from None


def _malformed(text: str, section: str) -> PluginError:
    message = f"{section} has {text!r}, which is not a distribution with or without versions"
    return PluginError("malformed-rule", message, "write it as acme-losses, acme-* or acme-losses>=1.4,<2")


@dataclass(frozen=True, slots=True)
class Policy:
    """What may take part, and which of two is meant."""

    allow: tuple[Rule, ...] = ()
    block: tuple[Rule, ...] = ()
    prefer: Mapping[tuple[str, str], str] = field(default_factory=dict)
    """(kind, name) -> distribution."""

    environment: frozenset[str] | None = None
    """Distributions in SWIFT_PLUGINS; None when it is not set."""

    def refusal(self, spec: PluginSpec) -> str:
        """Return why the plugin may not take part, or an empty string."""
        if self.environment is not None and not spec.first_party and spec.distribution not in self.environment:
            return f"{VARIABLE} does not name {spec.distribution}"
        blocking = [rule.text for rule in self.block if rule.covers_plugin(spec)]
        if blocking:
            return f"plugins.block has {blocking[0]!r}"
        if self.allow and not spec.first_party and not any(rule.covers_plugin(spec) for rule in self.allow):
            return f"plugins.allow does not have {spec.distribution} {spec.version}"
        return ""


def environment_policy(value: str | None) -> Policy:
    """Return the policy of SWIFT_PLUGINS alone."""
    if value is None:
        return Policy()
    return Policy(environment=frozenset(normalised(name) for name in re.split(r"[,\s]+", value.strip()) if name))


def settings_policy(
    settings: PluginSettings,
    environment: Policy,
    distributions: Mapping[str, Distribution],
    specs: Sequence[PluginSpec],
) -> Policy:
    """Return the policy of a run file on top of the environment's.

    Raises:
        PluginError: With everything that is wrong in either.
    """
    errors = unknown_in_environment(environment, distributions)
    allow = _rules(settings.allow, "plugins.allow", errors)
    block = _rules(settings.block, "plugins.block", errors)
    for rule in _rules(settings.require, "plugins.require", errors):
        errors += _unmet(rule, distributions)
    prefer = _preferences(settings.prefer, specs, errors)
    if errors:
        raise PluginError.of(errors)
    return Policy(allow, block, prefer, environment.environment)


def _rules(texts: Sequence[str], section: str, errors: list[PluginError]) -> tuple[Rule, ...]:
    rules = [_rule(text, section, errors) for text in texts]
    return tuple(rule for rule in rules if rule)


def _rule(text: str, section: str, errors: list[PluginError]) -> Rule | None:
    try:
        return Rule.parse(text, section)
    except PluginError as error:
        errors.append(error)
        return None


def unknown_in_environment(environment: Policy, distributions: Mapping[str, Distribution]) -> list[PluginError]:
    """Return an error for each distribution in SWIFT_PLUGINS that is not installed."""
    return [
        PluginError(
            "unknown-distribution",
            f"{VARIABLE} names {name!r}, which is not installed.{did_you_mean(name, distributions)}",
            f"correct {VARIABLE}, or pip install {name}",
        )
        for name in sorted(environment.environment or ())
        if name not in distributions
    ]


def _unmet(rule: Rule, distributions: Mapping[str, Distribution]) -> list[PluginError]:
    """Return an error when nothing installed is what `require` asks for."""
    named = [d for d in distributions.values() if fnmatchcase(d.name, rule.pattern)]
    if any(rule.covers(d.name, d.version) for d in named):
        return []
    if named:
        have = ", ".join(f"{d.name} {d.version}" for d in named)
        message = f"plugins.require asks for {rule.text!r}, and {have} is installed"
    else:
        hint = did_you_mean(rule.pattern, distributions)
        message = f"plugins.require asks for {rule.text!r}, which is not installed.{hint}"
    return [PluginError("required-plugin", message, f"pip install {rule.pattern + rule.specifier!r}")]


def _preferences(
    prefer: Mapping[str, Mapping[str, str]], specs: Sequence[PluginSpec], errors: list[PluginError]
) -> dict[tuple[str, str], str]:
    chosen = {}
    for word, names in prefer.items():
        kind = kind_named(word)
        if kind is None:
            message = f"plugins.prefer has {word!r}, which is no kind of plugin"
            errors.append(PluginError("unknown-kind", message, "swift plugins list shows the kinds"))
            continue
        for name, distribution in names.items():
            claimants = sorted(spec.distribution for spec in specs if (spec.kind, spec.name) == (kind.name, name))
            if normalised(distribution) in claimants:
                chosen[kind.name, name] = normalised(distribution)
                continue
            have = f"it comes from {' and '.join(claimants)}" if claimants else "nothing installed has it"
            message = f"plugins.prefer takes the {kind.words} {name!r} from {distribution!r}, which has none; {have}"
            errors.append(PluginError("unknown-preference", message, f"swift plugins list --kind {kind.name}"))
    return chosen


def did_you_mean(word: str, known: Mapping[str, object] | Sequence[str]) -> str:
    """Return ` Did you mean 'x' or 'y'?` for the nearest of `known` and what is about as near, or an empty string."""
    near = difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)
    likeness = [difflib.SequenceMatcher(None, name, word).ratio() for name in near]
    names = [repr(name) for name, ratio in zip(near, likeness, strict=True) if ratio > likeness[0] - 0.1]
    return f" Did you mean {' or '.join(names)}?" if names else ""
