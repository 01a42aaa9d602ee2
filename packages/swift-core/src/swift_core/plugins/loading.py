"""Import a chosen plugin. What goes wrong is said with the distribution, the version, the target and the cause."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import swift_core
from swift_core.contracts.registration import registered_by
from swift_core.errors import SwiftError
from swift_core.plugins.errors import PluginError
from swift_core.plugins.kinds import KINDS
from swift_core.plugins.metadata import Distribution, metadata_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swift_core.contracts.plugin import PluginSpec


def load(spec: PluginSpec, distributions: Mapping[str, Distribution], *, allow_code: bool) -> object:
    """Return what `spec` points to; see `Registry.load`."""
    permit(spec, distributions, allow_code=allow_code)
    try:
        plugin = _imported(spec)
    except SwiftError:
        raise
    except (Exception, SystemExit) as error:
        raise broken(spec, error) from error
    if not callable(plugin) and spec.kind != "hooks":
        message = f"{describe(spec)} is {type(plugin).__name__}, not a class or function."
        raise PluginError("broken-plugin", message, _where_to_complain(spec))
    return plugin


def permit(spec: PluginSpec, distributions: Mapping[str, Distribution], *, allow_code: bool) -> None:
    """Raise PluginError when `spec` may not run; see `Registry.permit`."""
    if spec.origin == "file":
        from swift_core.plugins.trust import require_trust

        require_trust(spec.path or Path(), allow_code=allow_code)
    elif spec.distribution in distributions:
        require_compatible(spec, distributions[spec.distribution])


def _imported(spec: PluginSpec) -> object:
    if spec.origin == "file":
        from swift_core.plugins.files import load_file

        return load_file(spec)
    if spec.origin == "registered":
        return registered_by("", spec.kind)[spec.name]
    module, _, attributes = spec.target.partition(":")
    value: object = importlib.import_module(module)
    for attribute in attributes.split("."):
        value = getattr(value, attribute)
    return value


def describe(spec: PluginSpec) -> str:
    """Return the plugin with everything that identifies it: `loss 'focal' of acme-losses 1.4.0 (acme.loss:Focal)`."""
    words = KINDS[spec.kind].words
    if spec.origin == "file":
        return f"the {words} {spec.target}"
    if spec.origin == "registered":
        return f"the registered {words} {spec.name!r} ({spec.target})"
    return f"the {words} {spec.name!r} of {spec.distribution} {spec.version} ({spec.target})"


def broken(spec: PluginSpec, error: BaseException) -> PluginError:
    """Return the error for a plugin that raised while it was imported."""
    cause = " ".join(f"{type(error).__name__}: {error}".split())
    message = f"{describe(spec)} cannot be imported: {cause}"
    if spec.origin == "file" and isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] == "swift":
        step = f"for a file written for ms-swift write plugins: {{ms_swift_files: [{spec.path and spec.path.name}]}}"
        return PluginError("broken-plugin", message, step)
    if isinstance(error, ModuleNotFoundError) and error.name and not spec.target.startswith(error.name.split(".")[0]):
        return PluginError("broken-plugin", message, f"pip install the distribution that has {error.name!r}")
    return PluginError("broken-plugin", message, _where_to_complain(spec))


def _where_to_complain(spec: PluginSpec) -> str:
    if spec.origin in ("file", "registered"):
        return "mend the code, or choose another plugin"
    return f"pip install --upgrade {spec.distribution}, or tell its author"


def require_compatible(spec: PluginSpec, distribution: Distribution) -> None:
    """Raise PluginError when the plugin's distribution was made for another swift-core than this one."""
    wanted = [line.partition(":")[2].strip() for line in _requirements(distribution)]
    if not wanted:
        return
    from packaging.requirements import InvalidRequirement, Requirement

    for text in wanted:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # pip refused it or did not care; it says nothing about us
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if not requirement.specifier.contains(swift_core.__version__, prereleases=True):
            message = f"{describe(spec)} needs {text}, and swift-core {swift_core.__version__} is installed."
            raise PluginError("incompatible-plugin", message, f"pip install --upgrade {spec.distribution} swift-core")


def _requirements(distribution: Distribution) -> list[str]:
    """Return the `Requires-Dist` lines that name swift-core."""
    header = metadata_text(distribution.folder).partition("\n\n")[0]
    prefixes = ("requires-dist: swift-core", "requires-dist: swift_core", "requires-dist: swift.core")
    lines = [line for line in header.splitlines() if line.lower().startswith(prefixes)]
    return [
        line
        for line in lines
        if not line[len(prefixes[0]) :][:1].isalnum() and line[len(prefixes[0]) :][:1] not in "-_."
    ]
