"""A run's model in another form, made by an exporter: there whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from swift_core.artifacts.atomic import new_folder
from swift_core.artifacts.disk import telling_no_room
from swift_core.errors import Problem, SwiftError
from swift_core.plugins.options import build

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swift_core.contracts.exporter import Exporter
    from swift_core.contracts.plugin import PluginSpec
    from swift_core.plugins.registry import Registry


def export(run: Path, target: Path, name: str, options: Mapping[str, Any], registry: Registry) -> Path:
    """Let the exporter `name` write the model of `run` into the new folder `target`; return what it wrote.

    Raises:
        SwiftError: There is no such exporter or run, an option is wrong, the exporter failed, or `target` is in use.
    """
    spec = registry.resolve("exporter", name, Path())
    exporter = cast("Exporter", build(registry.load(spec), options, called=spec.whose))
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        message = f"{target} is there already, and an export never writes over anything."
        raise SwiftError(Problem("target-exists", message, None, "name a folder that is not there"))
    try:
        with telling_no_room(target.parent, "The exported model", "make room, and export again"):
            target.parent.mkdir(parents=True, exist_ok=True)
            with new_folder(target) as folder:
                written = _checked(spec, _written(spec, exporter, run, folder), folder)
    except OSError as error:
        message = f"{target} cannot be written: {error.strerror}."
        raise SwiftError(Problem("target-unwritable", message, None, "name another folder")) from error
    return target / written


def _written(spec: PluginSpec, exporter: Exporter, run: Path, folder: Path) -> object:
    """Return what the exporter returned."""
    try:
        return exporter.export(run, folder)
    except (SwiftError, OSError):
        raise
    except ValueError as error:
        message = f"{spec.in_full} cannot export {run}: {str(error).rstrip('.')}."
        raise SwiftError(Problem("export-refused", message, None, spec.info_command)) from error
    except Exception as error:  # whatever a stranger's code raises
        message = f"{spec.in_full} raised {type(error).__name__}: {error}"
        next_step = "tell its author; SWIFT_TRACEBACK=1 shows where"
        raise SwiftError(Problem("exporter-failed", message, None, next_step)) from error


def _checked(spec: PluginSpec, written: object, folder: Path) -> Path:
    """Return the path of what was written, seen from the folder."""
    if isinstance(written, Path) and written.exists() and written.resolve().is_relative_to(folder.resolve()):
        return written.resolve().relative_to(folder.resolve())
    message = f"{spec.in_full} returned {written!r}, and what it wrote into the folder that it was given is wanted."
    raise SwiftError(Problem("exporter-return", message, None, spec.info_command))
