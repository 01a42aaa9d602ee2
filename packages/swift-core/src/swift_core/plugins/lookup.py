"""Find plugins as a person names them on the command line: `loss/dpo`, `dpo`, `loss/acme-losses:focal`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.plugins.errors import PluginError
from swift_core.plugins.files import is_file_reference
from swift_core.plugins.kinds import KINDS, kind_named
from swift_core.plugins.metadata import normalised
from swift_core.plugins.policy import did_you_mean

if TYPE_CHECKING:
    from swift_core.contracts.plugin import PluginSpec
    from swift_core.plugins.registry import Registry


def look_up(registry: Registry, reference: str) -> list[PluginSpec]:
    """Return all plugins that `reference` may mean: one, or those of one kind that claim one name.

    Raises:
        PluginError: When there is none, or a name without its kind belongs to several kinds.
    """
    word, slash, name = reference.partition("/")
    kind = kind_named(word) if slash else None
    if kind is None:
        return _of_any_kind(registry, reference, word if slash else "")
    if is_file_reference(name):
        return [registry.resolve(kind.name, name, Path())]
    return _matching(registry, kind.name, name) or [registry.resolve(kind.name, name, Path())]


def _matching(registry: Registry, kind: str | None, reference: str) -> list[PluginSpec]:
    distribution, _, name = reference.rpartition(":")
    return [
        spec
        for spec in registry.specs(kind)
        if spec.name == name and (not distribution or spec.distribution == normalised(distribution))
    ]


def _of_any_kind(registry: Registry, reference: str, word: str) -> list[PluginSpec]:
    if word.isidentifier():
        hint = did_you_mean(word, list(KINDS))
        message = f"there is no kind of plugin called {word!r}.{hint}"
        raise PluginError("unknown-kind", message, f"the kinds are {', '.join(KINDS)}")
    if is_file_reference(reference):
        message = f"{reference!r} does not say of which kind it is."
        raise PluginError("unknown-kind", message, f"swift plugins info loss/{reference}, or another kind")
    found = _matching(registry, None, reference)
    kinds = sorted({spec.kind for spec in found})
    if len(kinds) > 1:
        ways = " or ".join(f"{kind}/{reference}" for kind in kinds)
        message = f"{reference!r} is the name of {len(kinds)} plugins: {' and '.join(kinds)}."
        raise PluginError("ambiguous-plugin", message, f"swift plugins info {ways}")
    if not found:
        hint = did_you_mean(reference, sorted({spec.name for spec in registry.specs()}))
        raise PluginError("unknown-plugin", f"no plugin is named {reference!r}.{hint}", "swift plugins list")
    return found
