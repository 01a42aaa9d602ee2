"""What a part of the run does wrong while it runs: told with its name, wheel and version, and its place."""

from __future__ import annotations

import errno
import os
import re
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import swift_core
from swift_core.errors import OutOfMemoryError, Problem, SwiftError
from swift_core.resolve.memory import smaller_weights

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from swift_core.contracts.handover import PartPlan, RunPlan


_NO_MEMORY = re.compile(
    r"can't allocate memory|out of memory|not enough memory|CUBLAS_STATUS_ALLOC_FAILED", re.IGNORECASE
)


DEAD_WORKER = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? (?P<pid>[\d, ]+)\).*?(?P<how>killed by signal: \w+|exited unexpectedly)",
    re.DOTALL,
)
_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "Application timeout", "NCCL")
"""What torch's collectives say in a process that is well when another one is gone."""


def failure(plan: RunPlan, part: PartPlan, error: Exception, *, own_files: Collection[str] = ()) -> SwiftError:
    """Return the error of a part whose code raised `error`.

    Args:
        plan: The run.
        part: The part.
        error: What it raised.
        own_files: Files of core in which a check may have raised it: they are not shown.

    Raises:
        Exception: `error` itself, which came up in the part's code and is no fault of it.
    """
    if is_no_fault_of_a_part(error):
        raise error
    message = f"{named(part)} raised {cause(part, error, own_files=own_files)}"
    return _at(plan, part, f"{part.kind.replace('_', '-')}-failed", message)


def cause(part: PartPlan, error: Exception, *, own_files: Collection[str] = ()) -> str:
    """Return what a part raised and where in its code: `KeyError: 'answers' (acme.py:12)`."""
    frames = traceback.extract_tb(error.__traceback__)
    frame = next((each for each in reversed(frames) if _is_of(part, each.filename)), frames[-1])
    where = "" if frame.filename in own_files else f" ({frame.filename}:{frame.lineno})"
    return f"{type(error).__name__}: {error}{where}"


@contextmanager
def told(
    plan: RunPlan, part: PartPlan, *, own_code: bool = False, but: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Tell what the code of a part raises in the block as its failure.

    Args:
        plan: The run.
        part: The part.
        own_code: Not everything in the block is its code: take only what came up in its files, or in a library that
            they called, and never what is of this project.
        but: Exceptions that mean something else, and go on.

    Raises:
        SwiftError: The part raised something else than one.
    """
    try:
        yield
    except Exception as error:  # whatever a stranger's code raises
        if isinstance(error, (SwiftError, *but)):
            raise
        if own_code and (part.plugin.first_party or not _came_up_in(part, error)):
            raise
        raise failure(plan, part, error) from error


@contextmanager
def naming_memory(plan: RunPlan, what: str) -> Iterator[None]:
    """Tell of memory that ran out in the block, outside of the steps of training.

    Args:
        plan: The run.
        what: Says what was being done, in words that follow "while".

    Raises:
        OutOfMemoryError: Memory ran out.
    """
    try:
        yield
    except SwiftError:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        next_step = "; or ".join(smaller_weights(plan.settings))
        place = plan.config.place("model.model_id")
        raise OutOfMemoryError(Problem("out-of-memory", f"Memory ran out while {what}.", place, next_step)) from error


def is_no_fault_of_a_part(error: BaseException) -> bool:
    """Say whether an error that came up in a plugin's code means that memory, a data worker or another rank is gone."""
    is_dead_worker = isinstance(error, RuntimeError) and bool(DEAD_WORKER.search(str(error)))
    return is_dead_worker or is_out_of_memory(error) or is_lost_process(error)


def is_lost_process(error: BaseException) -> bool:
    """Say whether `error` is that another process of this run is gone."""
    is_one_of_several = os.environ.get("WORLD_SIZE", "1") not in ("", "1")
    return is_one_of_several and isinstance(error, RuntimeError) and any(text in str(error) for text in _LOST)


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that memory ran out: on the CPU torch raises a plain RuntimeError."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's; not imported for it
        return True
    if isinstance(error, OSError):  # of mmap and fork
        return error.errno == errno.ENOMEM
    return isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(str(error)))


def _came_up_in(part: PartPlan, error: Exception) -> bool:
    """Say whether the innermost code that is of the part or of this project is of the part."""
    core = Path(swift_core.__file__).parent
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if _is_of(part, frame.filename):
            return True
        if Path(frame.filename).is_relative_to(core):
            return False
    return False


def _is_of(part: PartPlan, filename: str) -> bool:
    """Say whether a file of code is the part's: its own, or one of its package."""
    own = Path(part.source.file)
    return Path(filename) == own or (
        (own.parent / "__init__.py").is_file() and Path(filename).is_relative_to(own.parent)
    )


def wrong_return(plan: RunPlan, part: PartPlan, method: str, wanted: str, returned: Any) -> SwiftError:
    """Return the error of a part whose method `method` (empty: the part itself) returned something else."""
    says = f"{method} of {named(part)}" if method else named(part)
    return _at(plan, part, "broken-plugin", f"{says} must return {wanted}, got {type(returned).__name__}.")


def named(part: PartPlan) -> str:
    """Return a part's kind and name with the wheel it is from."""
    return part.plugin.in_full


def _at(plan: RunPlan, part: PartPlan, code: str, message: str) -> SwiftError:
    return SwiftError(Problem(code, message, plan.config.place(part.key), part.plugin.info_command))
