"""Memory that ran out and data workers that died, told with the step and with what to change next."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from swift_core.assemble.broken_part import DEAD_WORKER, is_out_of_memory
from swift_core.errors import OutOfMemoryError, Problem, SwiftError
from swift_core.resolve.memory import less_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from swift_core.contracts.handover import Parts
    from swift_core.contracts.settings import RunSettings


@contextmanager
def naming_what_ran_out(parts: Parts, what: Callable[[], str], *, judges: bool = False) -> Iterator[None]:
    """Tell of memory that ran out, and of a data worker that died, in the block.

    Args:
        parts: The run.
        what: Says what was being done, as `step 3 (micro-batch 2, 8 x 747 tokens)`.
        judges: Whether held-out rows are judged, whose batches have a size of their own.

    Raises:
        OutOfMemoryError: Memory ran out.
        SwiftError: A data worker died.
    """
    try:
        yield
    except SwiftError:
        raise
    except (MemoryError, RuntimeError, OSError) as error:
        if is_out_of_memory(error):
            raise OutOfMemoryError(_no_memory(parts, what(), error, judges)) from error
        if (dead := DEAD_WORKER.search(str(error))) is not None:
            raise SwiftError(_dead_worker(parts, what(), dead)) from error
        raise


def _no_memory(parts: Parts, what: str, error: BaseException, judges: bool) -> Problem:
    settings, place = parts.plan.settings, parts.plan.config.place
    knobs = _judging_knobs(settings) if judges else less_memory(settings)
    asked = re.search(r"tried to allocate ([\d.,]+ ?\w+)", str(error), re.IGNORECASE)
    size = f", which asked for {asked[1]} more" if asked else ""
    key = "train.per_device_eval_batch_size" if judges else "train.per_device_train_batch_size"
    next_step = f"{'; or '.join(knobs)}{_resume(parts)}"
    return Problem("out-of-memory", f"Memory ran out in {what}{size}.", place(key), next_step)


def _judging_knobs(settings: RunSettings) -> list[str]:
    rows = settings.train.per_device_eval_batch_size
    halved = [f"train.per_device_eval_batch_size={rows // 2}"] if rows > 1 else []
    return [*halved, "a lower train.max_completion_length, or shorter held-out rows"]


def _resume(parts: Parts) -> str:
    if not any(parts.directory.glob("checkpoint-*")):
        return ""
    return f"; then swift train {parts.plan.config.path} --resume {parts.directory} --resume-changed"


def _dead_worker(parts: Parts, what: str, dead: re.Match[str]) -> Problem:
    message = f"A data worker, process {dead['pid'].strip(' ,')}, ended before {what}: {dead['how']}"
    place = parts.plan.config.place("train.dataloader_num_workers")
    next_step = (
        f"swift train {parts.plan.config.path} --resume auto; with train.dataloader_num_workers=0 if memory is short"
    )
    return Problem("worker-died", f"{message}.", place, next_step)


def shape_of(batch: Mapping[str, Any]) -> str:
    """Return the size of a batch in words: `8 x 747 tokens`."""
    ids = (value for name, value in batch.items() if "input_ids" in name and getattr(value, "ndim", 0) == 2)
    return ", ".join(f"{rows} x {tokens} tokens" for rows, tokens in (tuple(value.shape) for value in ids))
