"""Where a run is written, and from which checkpoint it goes on."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from swift_core.artifacts import checkpoint
from swift_core.artifacts.drift import changed_data, changed_plugins, changed_settings, identity, shared_otherwise
from swift_core.artifacts.metrics_file import METRICS_FILE, forget_after
from swift_core.contracts.records import entries, interpreting, read_object
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.contracts.handover import RunPlan

Resume = Path | Literal["auto", "never"]
"""A run directory or a checkpoint; `auto` looks for one; `never` starts anew."""


_SHOWN = 5
"""Checkpoints that are not whole which a message names."""


_MOST_NOTES = 50
"""Leftovers of a killed run that are told one by one."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where a run begins."""

    directory: Path
    checkpoint: Path | None = None
    """What it goes on from; None at the beginning."""

    notes: tuple[str, ...] = ()
    """What was taken and why, a line each; empty for a plain new run."""

    goes_on: bool = False
    """Whether the directory is of an earlier start of this run."""

    is_finished: bool = False
    """Whether the run has ended already, and nothing is left to do."""


def choose(plan: RunPlan, resume: Resume = "never", *, accept_changes: bool = False) -> Start:
    """Return the run directory, and the checkpoint to go on from when `resume` says so; no run is touched.

    Args:
        plan: The run.
        resume: What to go on from.
        accept_changes: Go on although run file, plugins or data are not those that wrote the checkpoint.

    Raises:
        SwiftError: The directory is in use, there is no whole checkpoint, or the run has changed.
    """
    if resume == "never":
        directory = _chosen_directory(plan)
        require_free(directory, plan)
        return Start(directory)
    if resume == "auto":
        return _auto(plan, accept_changes)
    return _go_on(plan, Path(resume), accept_changes)


def require_free(directory: Path, plan: RunPlan) -> None:
    """Raise SwiftError unless a new run can be written into `directory`."""
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return
    what = "is not empty" if directory.is_dir() else "is a file"
    message = f"The run directory {directory} {what}; a run never writes over another."
    ways = ["name another output_dir", "leave output_dir out for a new dated folder under runs/"]
    if any(directory.glob("checkpoint-*")):
        ways.append(f"go on with the run that is there: swift train {plan.config.path} --resume {directory}")
    raise SwiftError(Problem("output-dir", message, plan.config.place("output_dir"), "; or ".join(ways)))


def _auto(plan: RunPlan, accept_changes: bool) -> Start:
    """Go on with the run in `output_dir`, or else the newest dated one of this run file; begin where there is none."""
    directory = _newest_of(plan)
    if directory is not None:
        _refuse_links(directory)
    if directory is None:
        chosen = _chosen_directory(plan)
        require_free(chosen, plan)
        return Start(chosen, notes=("there is no earlier run to go on with: a new one begins",))
    if (directory / "result.json").is_file():
        return Start(directory, notes=(f"{directory} is finished: nothing is left to do",), is_finished=True)
    checkpoint.put_back(directory)
    standings = _standings(directory)
    if any(one.manifest for one in standings):
        return _go_on(plan, directory, accept_changes)
    if standings:
        raise SwiftError(_none_is_whole(directory, standings))
    _refuse_another_run(plan, directory, accept_changes)
    return Start(directory, notes=(f"{directory} has no checkpoint yet: it begins again",), goes_on=True)


def _go_on(plan: RunPlan, path: Path, accept_changes: bool) -> Start:
    """Go on with the run or checkpoint at `path`."""
    is_one = checkpoint.is_named(path) and path.is_dir()
    run = path.parent if is_one else path
    _refuse_links(run)
    checkpoint.put_back(run)
    standings = [checkpoint.standing(path)] if is_one else _standings(run)
    taken = next((one for one in standings if one.manifest is not None), None)
    if taken is None or taken.manifest is None:
        raise SwiftError(_none_is_whole(path, standings))
    broken = [one for one in standings if one.manifest is None]
    lines = [f"{one.path} {one.problem}: it is left out" for one in broken[:_SHOWN]]
    lines += [f"{len(broken) - _SHOWN} more are not whole and left out"] if len(broken) > _SHOWN else []
    with interpreting(taken.path):
        changes = _require_same(plan, taken.manifest.about, taken.path, accept_changes)
        _require_state(taken.path)
    why = "as asked" if is_one else "the newest that is whole"
    lines += [f"going on from {taken.path}, {why}; all {len(taken.manifest.files)} files are as they were written"]
    return Start(run, taken.path, (*lines, *changes), goes_on=True)


def _standings(run: Path) -> list[checkpoint.Standing]:
    """Return checkpoints from the newest down to the first whole one; older ones need not be read."""
    looked_at = []
    for path in checkpoint.newest_first(run) if run.is_dir() else ():
        looked_at.append(checkpoint.standing(path))
        if looked_at[-1].manifest is not None:
            break
    return looked_at


def _require_same(plan: RunPlan, about: Any, place: Path, accept_changes: bool) -> tuple[str, ...]:
    """Return a line for each accepted difference between the run and what wrote a checkpoint; refuse others."""
    now = identity(plan)
    settings, plugins, data = changed_settings(about, now), changed_plugins(about, now), changed_data(about, now)
    if accept_changes:
        return tuple(f"changed, as accepted: {line}" for line in (*settings, *plugins, *data))
    next_step = "undo the changes, start a new run, or accept them with --resume-changed"
    problems = []
    if settings:
        message = f"The run file is not the one that wrote {place}: {'; '.join(settings)}."
        problems.append(Problem("resume-changed", message, None, next_step))
    if plugins:
        message = f"The plugins are not those that wrote {place}: {'; '.join(plugins)}."
        problems.append(Problem("resume-plugins", message, None, next_step))
    if data:
        message = f"The data is not what was there when {place} was written: {'; '.join(data)}."
        problems.append(Problem("resume-data", message, None, next_step))
    if problems:
        raise SwiftError(problems)
    lines = shared_otherwise(about, now)
    return (f"as many rows a step, shared out otherwise: {', '.join(lines)}",) if lines else ()


def _require_state(path: Path) -> None:
    """Raise ValueError unless Trainer's own record of a checkpoint has the form that Trainer gives it."""
    file = path / "trainer_state.json"
    state = read_object(file) if file.is_file() else {"global_step": checkpoint.step_of(path)}
    if state["global_step"] != checkpoint.step_of(path):
        raise ValueError(f"its state is of step {state['global_step']}")
    lines: Any = state.get("log_history", [])
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise ValueError("log_history is no list of lines")


def _refuse_another_run(plan: RunPlan, directory: Path, accept_changes: bool) -> None:
    """Refuse to begin again in a directory that is not of this run."""
    file = directory / "identity.json"
    if not file.is_file():
        require_free(directory, plan)
        return
    with interpreting(file):
        _require_same(plan, read_object(file), directory, accept_changes)


def _refuse_links(run: Path) -> None:
    """Refuse to go on in a directory in which a link leads what the run writes to another place."""
    folders = [folder for folder in (run, run / "plugins", run / checkpoint.SET_ASIDE) if folder.is_dir()]
    links = [folder / entry.name for folder in folders for entry in entries(folder) if entry.is_symlink()]
    if links := [path for path in links if not checkpoint.is_named(path)]:  # a checkpoint that is a link is left out
        message = f"{min(links)} is a link, and a run that goes on writes only into its own directory."
        raise SwiftError(Problem("run-links", message, None, "put the file itself in its place, or start a new run"))


def _none_is_whole(path: Path, standings: Sequence[checkpoint.Standing]) -> Problem:
    if not standings:
        what = "holds no checkpoint" if path.is_dir() else "is no folder"
        next_step = "give the run directory that swift train printed, or start anew without --resume"
        return Problem("no-checkpoint", f"{path} {what}, so there is nothing to go on from.", None, next_step)
    causes = "; ".join(f"{one.path.name} {one.problem}" for one in standings[:_SHOWN])
    causes += f"; and {len(standings) - _SHOWN} more" if len(standings) > _SHOWN else ""
    message = f"No checkpoint of {path} is whole: {causes}."
    return Problem("broken-checkpoint", message, None, "restore it from a copy, or start a new run")


def _newest_of(plan: RunPlan) -> Path | None:
    """Return the directory of an earlier start of this run; None where there is none."""
    named = plan.settings.output_dir
    if named != Path():
        return named if named.is_dir() and any(named.iterdir()) else None
    found = sorted(Path("runs").glob(f"{plan.config.path.stem}-[0-9]*-[0-9]*"))
    return found[-1] if found else None


def _chosen_directory(plan: RunPlan) -> Path:
    """Return `output_dir`, or a dated folder under `runs/` that does not exist yet."""
    if plan.settings.output_dir != Path():
        return plan.settings.output_dir
    name = f"{plan.config.path.stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    candidates = (Path("runs") / (name if number == 1 else f"{name}-{number}") for number in range(1, 1000))
    return next(candidate for candidate in candidates if not candidate.exists())


def tidy(run: Path, taken: Path | None) -> list[str]:
    """Make `run` as it was when the checkpoint `taken` was written, None before any; return a line on each change.

    Leftovers of a killed run are removed, later checkpoints set aside, and what was logged later is forgotten.
    """
    step = checkpoint.step_of(taken) if taken is not None else 0
    notes = checkpoint.clean(run) + checkpoint.set_aside(run, step)
    if taken is None:
        (run / METRICS_FILE).unlink(missing_ok=True)
    else:
        forget_after(run, step)
    return notes if len(notes) <= _MOST_NOTES else [*notes[:_MOST_NOTES], f"and {len(notes) - _MOST_NOTES} more"]
