"""The confined process that answers calls until it is told to end, or is killed.

It confines itself before it looks at anything but the standard library and this folder; then it imports the code that
answers. Frames go in through descriptor 0 and out through a private copy of descriptor 1; what the code prints is lost.

    in:  settings, then {"items": [...]} for each batch; anything else ends a batch early
    out: {"level": ...}, {"info": ...} or {"error": ...}, then for each batch [index, result, failure] ... and null
"""

from __future__ import annotations

import importlib
import os
import select
import site
import sys
from typing import Any

from swift_core.sandbox.child.confine import confine, confinement_from
from swift_core.sandbox.child.frames import encoded, read_frame, write_all, write_frame


def main() -> None:
    """Serve one host."""
    replies = os.dup(1)
    os.set_inheritable(replies, False)
    settings = read_frame(0)
    outcome = confine(confinement_from(settings["confinement"]), settings["host"])
    _silence()
    write_frame(replies, {"level": outcome.level, "reasons": outcome.reasons})
    try:
        handler = _handler(settings)
        write_frame(replies, {"info": getattr(handler, "info", None)})
    except BaseException as error:
        write_frame(replies, {"error": _failure(error)})
        return
    while True:
        try:
            batch = read_frame(0)
        except EOFError:
            return
        if "items" in batch:
            _answer(handler, batch["items"], replies)


def _silence() -> None:
    """Let what the code prints go nowhere, and give it nothing to read."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    sys.stdin = open(os.devnull)  # noqa: SIM115 - for the life of the process


def _handler(settings: dict[str, Any]) -> Any:
    """Import what answers, with the host's module search path, and make it."""
    sys.path[:] = [path for path in sys.path if path not in settings["path"]]
    for folder in settings["sites"]:
        site.addsitedir(folder)
    sys.path[:] = list(dict.fromkeys([*settings["path"], *sys.path]))
    module, _, attribute = settings["target"].partition(":")
    return getattr(importlib.import_module(module), attribute)(settings["options"])


def _answer(handler: Any, items: list[Any], replies: int) -> None:
    """Answer the items of a batch in turn; stop early when the host has more to say."""
    last = len(items) - 1
    for index, item in enumerate(items):
        result = failure = None
        try:
            result = handler(item)
        except BaseException as error:
            failure = _failure(error)
        frame = _frame([index, result, failure])
        ended = index == last or select.select([0], [], [], 0)[0]
        write_all(replies, frame + encoded(None) if ended else frame)
        if ended:
            return
    write_all(replies, encoded(None))


def _frame(reply: list[Any]) -> bytes:
    try:
        return encoded(reply)
    except (TypeError, ValueError, RecursionError, MemoryError) as error:  # what JSON cannot say
        return encoded([reply[0], None, _failure(error)])


def _failure(error: BaseException) -> dict[str, str]:
    """Return an exception as plain data: its class, its message and where it was raised."""
    kind = "memory" if isinstance(error, MemoryError) else "error"
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    place = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where is not None else ""
    return {"kind": kind, "exception": type(error).__name__, "message": str(error)[:2000], "place": place}
