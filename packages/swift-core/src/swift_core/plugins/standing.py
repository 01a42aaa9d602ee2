"""Where an installed plugin stands: whether its bare name means it, and if not, why."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from swift_core.contracts.plugin import PluginSpec
    from swift_core.plugins.registry import Registry


def standings(registry: Registry) -> dict[PluginSpec, str]:
    """Return each plugin's standing: `ok`, or in a few words why its bare name does not mean it."""
    claims: dict[tuple[str, str], list[PluginSpec]] = defaultdict(list)
    for spec in registry.specs():
        claims[spec.kind, spec.name].append(spec)
    return {spec: _standing(spec, claims, registry) for spec in registry.specs()}


def _standing(spec: PluginSpec, claims: Mapping[tuple[str, str], list[PluginSpec]], registry: Registry) -> str:
    refusal = registry.refusal(spec)
    if refusal:
        return f"blocked: {refusal}"
    others = [other for other in claims[spec.kind, spec.name] if other is not spec and not registry.refusal(other)]
    if not spec.first_party and any(other.first_party for other in others):
        return f"only as {spec.qualified}: the bare name is {_first(others)}'s"
    if others and (not spec.first_party or any(other.first_party for other in others)):
        return f"ambiguous with {' and '.join(other.qualified for other in others)}"
    return "ok"


def _first(specs: Iterable[PluginSpec]) -> str:
    return next(spec.distribution for spec in specs if spec.first_party)
