"""What a name means. One registry per process, over one scan; nothing is imported until `load`.

A reference in a run file is `name`, `dist:name`, or `./file.py:attribute`. A bare name means, in this order: what
`plugins.prefer` says, the first-party plugin of that name, the only plugin of that name. Anything else is an error that
prints both ways out, so that installing a wheel never changes what a run file means.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING

from swift_core.contracts.plugin import PluginSpec
from swift_core.contracts.registration import registered_by
from swift_core.plugins.discover import Scan, scan
from swift_core.plugins.errors import PluginError
from swift_core.plugins.first_party import WHEEL_OF
from swift_core.plugins.kinds import KINDS, Kind
from swift_core.plugins.metadata import normalised

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from swift_core.contracts.settings import PluginSettings
    from swift_core.plugins.policy import Policy

VARIABLE = "SWIFT_PLUGINS"
"""Environment variable: names of distributions, separated by commas or spaces. Set but empty, only first-party ones."""

__all__ = ["PluginError", "Registry", "installed"]


class Registry:
    """The installed and registered plugins, and what may be used of them."""

    def __init__(
        self,
        found: Scan,
        *,
        policy: Policy | None = None,
        allow_code: bool = False,
        beside: Sequence[PluginSpec] = (),
        remote_code: Mapping[str, str] | None = None,
    ) -> None:
        """Make a registry over one scan.

        Args:
            found: What is installed.
            policy: What may be used of it; all when left out.
            allow_code: Run files beside a run file without asking.
            beside: What files of a run register by name.
            remote_code: Models whose own code may run -> what pins it.
        """
        self.found = found
        self.remote_code = dict(remote_code or {})
        self.beside = tuple(beside)
        self.policy = policy
        self.allow_code = allow_code

    def specs(self, kind: str | None = None) -> tuple[PluginSpec, ...]:
        """Return the plugins of one kind or of all, whether they may be used or not."""
        kinds = KINDS if kind is None else {kind: KINDS[kind]}
        installed_ones = (spec for spec in self.found.specs if spec.kind in kinds)
        ours = (spec for spec in self.beside if spec.kind in kinds)
        return (*installed_ones, *(spec for name in kinds for spec in _registered(name)), *ours)

    def refusal(self, spec: PluginSpec) -> str:
        """Return why the policy keeps the plugin out, or an empty string."""
        return self.policy.refusal(spec) if self.policy else ""

    def restricted(self, settings: PluginSettings) -> Registry:
        """Return this registry under the `plugins` section of a run file.

        Raises:
            PluginError: With every problem of the section and of SWIFT_PLUGINS: a distribution that is required and
                absent, a malformed version, a name that nothing installed has.
        """
        from swift_core.plugins.policy import Policy, settings_policy

        policy = settings_policy(settings, self.policy or Policy(), self.found.distributions, self.specs())
        return self._with(policy=policy, beside=self.beside)

    def with_files(self, specs: Sequence[PluginSpec]) -> Registry:
        """Return this registry with what files of a run register by name."""
        return self._with(policy=self.policy, beside=specs)

    def _with(self, *, policy: Policy | None, beside: Sequence[PluginSpec]) -> Registry:
        return Registry(
            self.found, policy=policy, allow_code=self.allow_code, beside=beside, remote_code=self.remote_code
        )

    def resolve(self, kind: str, reference: str, base: Path) -> PluginSpec:
        """Return the plugin of `kind` that `reference` means.

        Args:
            kind: Name of the kind.
            reference: `name`, `dist:name`, or `./file.py:attribute` with its path relative to `base`.
            base: Folder of the run file.

        Raises:
            PluginError: When it means nothing, more than one, or something that may not be used.
        """
        from swift_core.plugins.files import find_file, is_file_reference

        if is_file_reference(reference):
            return self._beside(kind, reference, base) or find_file(KINDS[kind], reference, base)
        distribution, _, name = reference.rpartition(":")
        if distribution:
            return self._qualified(KINDS[kind], normalised(distribution), name)
        return self._bare(KINDS[kind], name)

    def load(self, spec: PluginSpec) -> object:
        """Import the plugin and return the class, function or object it points to.

        Raises:
            PluginError: When it cannot be imported, was made for another swift-core, or is a file in a folder that is
                not trusted. The exception of the plugin is its cause.
        """
        from swift_core.plugins.loading import load

        return load(spec, self.found.distributions, allow_code=self.allow_code)

    def permit(self, spec: PluginSpec) -> None:
        """Return when the plugin may run, which is not imported: it will run in another process.

        Raises:
            PluginError: When it was made for another swift-core, or is a file in a folder that is not trusted.
        """
        from swift_core.plugins.loading import permit

        permit(spec, self.found.distributions, allow_code=self.allow_code)

    def _beside(self, kind: str, reference: str, base: Path) -> PluginSpec | None:
        """Return what a file registers by the name in `./file.py:name`."""
        from swift_core.plugins.files import path_in

        written, _, name = reference.rpartition(":")
        known = (spec for spec in self.beside if (spec.kind, spec.name) == (kind, name))
        return next((spec for spec in known if written and spec.path == path_in(base, written)), None)

    def _qualified(self, kind: Kind, distribution: str, name: str) -> PluginSpec:
        ours = [spec for spec in self.specs(kind.name) if spec.distribution == distribution]
        for spec in ours:
            if spec.name == name:
                return self._permitted(spec)
        raise self._unknown_qualified(kind, distribution, name, [spec.name for spec in ours])

    def _bare(self, kind: Kind, name: str) -> PluginSpec:
        claimants = [spec for spec in self.specs(kind.name) if spec.name == name]
        if not claimants:
            raise self._unknown(kind, name)
        preferred = self.policy.prefer.get((kind.name, name)) if self.policy else None
        if preferred:
            return self._permitted(next(spec for spec in claimants if spec.distribution == preferred))
        first_party = [spec for spec in claimants if spec.first_party]
        usable = [spec for spec in claimants if not self.refusal(spec)]
        local = [spec for spec in claimants if spec.origin in ("registered", "file")]
        if len(claimants) == 1 and claimants[0].origin == "file":  # the run file names the file: no policy is asked
            return claimants[0]
        if len(first_party) == 1 and not local:
            return self._permitted(first_party[0])
        if len(usable) == 1 and not first_party:
            return usable[0]
        if not usable:
            raise self._refused(claimants[0])
        raise _ambiguous(kind, name, usable)

    def _permitted(self, spec: PluginSpec) -> PluginSpec:
        if self.refusal(spec):
            raise self._refused(spec)
        return spec

    def _refused(self, spec: PluginSpec) -> PluginError:
        message = f"the {KINDS[spec.kind].words} {spec.qualified} may not be used: {self.refusal(spec)}"
        return PluginError("blocked-plugin", message, "change that list, or choose another plugin")

    def _unknown(self, kind: Kind, name: str) -> PluginError:
        from swift_core.plugins.policy import did_you_mean

        names = sorted({spec.name for spec in self.specs(kind.name)} | {n for k, n in WHEEL_OF if k == kind.name})
        others = sorted({KINDS[spec.kind].words for spec in self.specs() if spec.name == name})
        wheel = WHEEL_OF.get((kind.name, name))
        message = f"no {kind.words} named {name!r}."
        if wheel:
            message += f" It comes with {wheel}, which is not installed."
            return PluginError("unknown-plugin", message, f"pip install {wheel}")
        if others:
            article = "an" if others[0][0] in "aeiou" else "a"
            message += f" {name!r} is {article} {' and a '.join(others)}."
        message += did_you_mean(name, names)
        return PluginError("unknown-plugin", message, f"swift plugins list --kind {kind.name}")

    def _unknown_qualified(self, kind: Kind, distribution: str, name: str, names: list[str]) -> PluginError:
        from swift_core.plugins.policy import did_you_mean

        listing = f"swift plugins list --kind {kind.name}"
        if names:
            message = f"{distribution} has no {kind.words} named {name!r}.{did_you_mean(name, names)}"
            return PluginError("unknown-plugin", message, listing)
        if distribution in self.found.distributions:
            return PluginError(
                "unknown-plugin", f"{distribution} is installed and has no {kind.words} at all.", listing
            )
        hint = did_you_mean(distribution, self.found.distributions)
        message = f"the distribution {distribution!r} is not installed.{hint}"
        return PluginError("unknown-distribution", message, f"pip install {distribution}")


def _registered(kind: str) -> list[PluginSpec]:
    return [
        PluginSpec(
            kind=kind,
            name=name,
            target=f"{getattr(plugin, '__module__', '?')}:{getattr(plugin, '__qualname__', name)}",
            distribution="(registered)",
            version="",
            origin="registered",
        )
        for name, plugin in sorted(registered_by("", kind).items())
    ]


def _ambiguous(kind: Kind, name: str, claimants: list[PluginSpec]) -> PluginError:
    first, *_ = claimants
    named = [spec.distribution if spec.path is None else spec.path.name for spec in claimants]
    message = f"the {kind.words} {name!r} is claimed by {' and by '.join(named)}."
    if files := [f"./{spec.path.name}:{name}" for spec in claimants if spec.path is not None]:
        wheels = [spec.qualified for spec in claimants if spec.path is None]
        return PluginError("ambiguous-plugin", message, f"write {' or '.join([*wheels, *files])}")
    preference = f"{{{kind.name}: {{{name}: {first.distribution}}}}}"
    return PluginError("ambiguous-plugin", message, f"write {first.qualified}, or plugins.prefer: {preference}")


@lru_cache(maxsize=1)
def _everything() -> Registry:
    value = os.environ.get(VARIABLE)
    if value is None:
        return Registry(scan())
    from swift_core.plugins.policy import environment_policy

    return Registry(scan(), policy=environment_policy(value))


def installed(*, allow_code: bool = False, remote_code: Mapping[str, str] | None = None) -> Registry:
    """Return the registry of this process; the first call scans, the others do not.

    Args:
        allow_code: Run files beside a run file without asking whether their folder is trusted.
        remote_code: Models whose own code may run -> what pins it: `remote_code.parse_pins`.
    """
    registry = _everything()
    if not (allow_code or remote_code):
        return registry
    return Registry(registry.found, policy=registry.policy, allow_code=allow_code, remote_code=remote_code)
