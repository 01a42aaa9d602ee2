"""Losses that are named inside the options of another loss: checked with the run file, built with its plugins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from swift_core.contracts.loss import LossTerm
from swift_core.plugins.options import build
from swift_core.resolve.aliases import loss_meant

if TYPE_CHECKING:
    from swift_core.resolve.parts import Looked, PartFinder
    from swift_core.resolve.shorthands import OptionSet


def check_terms(finder: PartFinder, loss: OptionSet) -> None:
    """Look up each loss that the options of `loss` name, and check its options and what it reads."""
    for key, term in _terms(loss):
        name, options = term.get("name"), term.get("kwargs", {})
        if not isinstance(name, str) or not isinstance(options, Mapping):
            continue  # the options of the outer loss are wrong, and that is told
        looked = finder.look("loss", f"{key}.name", loss_meant(finder, f"{key}.name", name))
        if looked:
            _check_family(finder, loss.looked, looked)
            finder.part(looked, options, f"{key}.kwargs")


def live_term(finder: PartFinder, term: LossTerm) -> object:
    """Return the loss that `term` names in this run file; raises PluginError."""
    plugin = finder.registry.resolve("loss", loss_meant(finder, "", term.name), finder.base)
    return build(finder.registry.load(plugin), term.kwargs)


def _terms(loss: OptionSet) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the key and the content of each term."""
    for option in loss.looked.source.options:
        given = loss.options.get(option.name)
        if option.schema.get("items", {}).get("title") == LossTerm.__name__ and isinstance(given, list):
            for index, term in enumerate(given):
                if isinstance(term, Mapping):
                    yield f"{loss.key}.{option.name}.{index}", term


def _check_family(finder: PartFinder, outer: Looked, inner: Looked) -> None:
    if inner.family and outer.family and inner.family != outer.family:
        message = (
            f"the loss {inner.plugin.name!r} reads {inner.family}, and {outer.plugin.name!r} adds up losses "
            f"that read {outer.family}"
        )
        finder.findings.wrong("stage-mismatch", message, inner.key, "swift plugins list --kind loss")
