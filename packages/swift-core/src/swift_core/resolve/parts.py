"""One part of a run: its name looked up, its options checked against its source; nothing is imported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from swift_core.contracts.handover import PartPlan, RunConfig, ValueOrigin
from swift_core.contracts.settings import PartRef, RewardRef, StepRewardRef, WeightSchedule
from swift_core.errors import Problem, SwiftError
from swift_core.plugins.cpp_source import is_cpp
from swift_core.plugins.options import check_options, read_source
from swift_core.resolve.cpp import check_cpp

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from swift_core.contracts.plugin import PluginSource, PluginSpec
    from swift_core.plugins.registry import Registry
    from swift_core.resolve.findings import Findings

CHOSEN = ValueOrigin("chosen")


@dataclass(frozen=True, slots=True)
class Looked:
    """A plugin that was found, before its options are settled."""

    kind: str
    key: str
    plugin: PluginSpec
    source: PluginSource

    def has_option(self, name: str) -> bool:
        """Say whether the constructor takes `name`."""
        return any(option.name == name for option in self.source.options)

    def declared(self, name: str, default: Any = None) -> Any:
        """Return a literal class variable of the plugin."""
        return self.source.declared.get(name, default)

    @property
    def family(self) -> str:
        """What a loss eats: `TokenOutputs`, `PairOutputs`, or empty when it does not say."""
        first = self.source.inputs[0] if self.source.inputs else ""
        return first.strip("'\" ").rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class PartFinder:
    """Looks parts up in a registry and collects what is wrong."""

    config: RunConfig
    registry: Registry
    findings: Findings

    @property
    def base(self) -> Path:
        """The folder that paths in the run file start from."""
        return self.config.path.parent

    def look(self, kind: str, key: str, reference: str, *, at: str = "") -> Looked | None:
        """Return the plugin that `reference` means, or None after keeping the problem at key `at` (or `key`)."""
        try:
            return self.try_look(kind, key, reference)
        except SwiftError as error:
            self.findings.adopt(error, at or key)
            return None

    def try_look(self, kind: str, key: str, reference: str) -> Looked:
        """Return the plugin that `reference` means; raises PluginError."""
        plugin = self.registry.resolve(kind, reference, self.base)
        if is_cpp(plugin.path):
            check_cpp(self.findings, plugin, key)
        return Looked(kind, key, plugin, read_source(plugin))

    def part(
        self,
        looked: Looked,
        options: Mapping[str, Any],
        options_key: str,
        *,
        origins: Mapping[str, ValueOrigin] | None = None,
    ) -> PartPlan:
        """Return the part with `options`, after checking them.

        Args:
            looked: The plugin.
            options: What its constructor is given.
            options_key: The key under which they stand in the run file.
            origins: Of options that do not stand there.
        """
        known = dict(origins or {})
        for name in options:
            known.setdefault(name, self.config.origins.get(f"{options_key}.{name}", CHOSEN))
        self._check(looked, options, options_key, known)
        return PartPlan(looked.kind, looked.key, looked.plugin, looked.source, dict(options), known)

    def listed(self, kind: str, key: str, references: Sequence[PartRef]) -> tuple[PartPlan, ...]:
        """Return the parts of a list such as `train.callbacks`."""
        parts = []
        for index, reference in enumerate(references):
            here = f"{key}.{index}"
            looked = self.look(kind, here, reference.name, at=f"{here}.name")
            if looked:
                part = self.part(looked, reference.kwargs, f"{here}.kwargs")
                parts.append(replace(part, **_as_reward(reference)))
        return tuple(parts)

    def _check(self, looked: Looked, options: Mapping[str, Any], key: str, origins: Mapping[str, ValueOrigin]) -> None:
        for mistake in check_options(looked.source, options):
            name = mistake.path[0] if mistake.path else ""
            where = ".".join((key, *mistake.path))
            message = f"{looked.plugin.whose}: {mistake.message}"
            next_step = looked.plugin.info_command
            if mistake.suggestion.startswith("Did you mean"):
                message = f"{message}. {mistake.suggestion}"
            elif mistake.suggestion:
                next_step = mistake.suggestion[0].lower() + mistake.suggestion[1:].rstrip(".")
            if name in options and f"{key}.{name}" not in self.config.origins:  # given by another key
                place = origins[name].place or self.config.place(key)
                self.findings.problems.append(Problem("wrong-option", message, place, next_step))
            elif not looked.has_option(name):
                self.findings.wrong_key("unknown-option", message, where, next_step)
            else:
                self.findings.wrong("wrong-option", message, where, next_step)


def _as_reward(reference: PartRef) -> dict[str, Any]:
    """Return what a run file says of a reward beside its options; nothing of another part."""
    if not isinstance(reference, RewardRef):
        return {}
    schedule = reference.weight if isinstance(reference.weight, WeightSchedule) else None
    return {
        "weight": reference.weight.start if isinstance(reference.weight, WeightSchedule) else reference.weight,
        "schedule": schedule,
        "when": reference.when,
        "aggregate": reference.aggregate if isinstance(reference, StepRewardRef) else None,
    }
