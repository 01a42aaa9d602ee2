"""What a row of data is, by stage: its sequences of tokens, what is kept of it, and how rows become a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.assemble.kinds.pairs import PairRows
from swift_core.assemble.kinds.tokens import TokenRows

if TYPE_CHECKING:
    from swift_core.assemble.kinds.kind import RowKind

KINDS: dict[str, type[RowKind]] = {"tokens": TokenRows, "pairs": PairRows}
"""By what a procedure declares as `rows`."""


def row_kind(name: str) -> RowKind:
    """Return a new row kind; one object serves the training and the held-out rows of one run, in this order."""
    return KINDS[name]()
