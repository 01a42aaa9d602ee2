"""Names of modules and parameters in options: each must fit something of the model."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import nn


def require_modules(model: nn.Module, option: str, wanted: str | Sequence[str]) -> None:
    """Raise ValueError unless every entry fits a module of `model`.

    Args:
        model: With or without weights, before it is adapted.
        option: Its name, for the message.
        wanted: `all-linear`, a regular expression over whole names, or a list of name endings.
    """
    names = [name for name, _ in model.named_modules() if name]
    if isinstance(wanted, str):
        if wanted != "all-linear" and not any(re.fullmatch(wanted, name) for name in names):
            raise ValueError(
                f"{option} {wanted!r} fits no module; a text is a regular expression over whole names"
                f"{_meant(wanted, names)}"
            )
        return
    for entry in wanted:
        if not any(name == entry or name.endswith(f".{entry}") for name in names):
            raise ValueError(f"{option}: the model has no module {entry!r}{_meant(entry, names)}")


def _meant(entry: str, names: Iterable[str]) -> str:
    """Return what may have been meant by a name that fits nothing, as the end of a message."""
    endings = sorted({part for name in names for part in name.split(".") if not part.isdecimal()})
    last = re.split(r"[.*\\]+", entry)[-1] or entry
    close = difflib.get_close_matches(last, endings, n=2, cutoff=0.6)
    known = f"; it has {', '.join(endings)}" if not close else ""
    return f". Did you mean {' or '.join(map(repr, close))}?" if close else known
