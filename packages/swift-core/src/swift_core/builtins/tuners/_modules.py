"""Names of modules and parameters in options: each must fit something of the model."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any

from swift_core.assemble.vision.model_parts import linear_modules, parts_of, whole_modules
from swift_core.resolve.trainable import PART

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import nn


def require_modules(model: nn.Module, option: str, wanted: str | Sequence[str]) -> None:
    """Raise ValueError unless every entry fits a module of `model`.

    Args:
        model: With or without weights, before it is adapted.
        option: Its name, for the message.
        wanted: `all-linear`, a regular expression over whole names, `part:NAME`, or a list of name endings and parts.
    """
    names = [name for name, _ in model.named_modules() if name]
    parts_of(model, [wanted] if isinstance(wanted, str) else wanted)
    if isinstance(wanted, str) and not wanted.startswith(PART):
        if wanted != "all-linear" and not any(re.fullmatch(wanted, name) for name in names):
            raise ValueError(
                f"{option} {wanted!r} fits no module; a text is a regular expression over whole names"
                f"{_meant(wanted, names)}"
            )
        return
    for entry in [wanted] if isinstance(wanted, str) else wanted:
        if not entry.startswith(PART) and not any(name == entry or name.endswith(f".{entry}") for name in names):
            raise ValueError(f"{option}: the model has no module {entry!r}{_meant(entry, names)}")


def targets(model: nn.Module, wanted: str | Sequence[str]) -> Any:
    """Return target modules as peft takes them: a part of the model is the names of its linear modules."""
    entries = [wanted] if isinstance(wanted, str) else list(wanted)
    if not any(entry.startswith(PART) for entry in entries):
        return wanted
    return [name for entry in entries for name in (linear_modules(model, entry) if _is_part(entry) else [entry])]


def saved_whole(model: nn.Module, wanted: Sequence[str]) -> list[str] | None:
    """Return modules to train whole as peft takes them; None for none."""
    return [name for entry in wanted for name in (whole_modules(model, entry) if _is_part(entry) else [entry])] or None


def _is_part(entry: str) -> bool:
    return entry.startswith(PART)


def _meant(entry: str, names: Iterable[str]) -> str:
    """Return what may have been meant by a name that fits nothing, as the end of a message."""
    endings = sorted({part for name in names for part in name.split(".") if not part.isdecimal()})
    last = re.split(r"[.*\\]+", entry)[-1] or entry
    close = difflib.get_close_matches(last, endings, n=2, cutoff=0.6)
    known = f"; it has {', '.join(endings)}" if not close else ""
    return f". Did you mean {' or '.join(map(repr, close))}?" if close else known
