"""What a built loss needs of its run: its options may make it need less than its class says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.assemble.data.rows import Mistakes
from swift_core.errors import SwiftError
from swift_core.resolve.checks import unread_reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from swift_core.assemble.data.rows import Item
    from swift_core.contracts.handover import RunPlan


def needs_reference(plan: RunPlan, loss: object) -> bool:
    """Say whether `loss`, or the procedure itself, reads a reference model.

    Raises:
        SwiftError: It does not, and the run file has keys about one.
    """
    if getattr(loss, "needs_reference", False) or plan.procedure.source.declared.get("needs_reference"):
        return True
    if problems := unread_reference(plan.config, plan.loss.plugin.name):
        raise SwiftError(problems)
    return False


def needed_columns(plan: RunPlan, loss: object) -> tuple[str, ...]:
    """Return the columns that every row must have for `loss`; where rewards judge answers, they say the margin."""
    made = {"margin"} if plan.procedure.source.declared.get("rows") == "prompts" else set()
    return tuple(column for column in getattr(loss, "needs_columns", ()) if column not in made)


def require_columns(items: Iterable[Item], columns: Sequence[str], loss: str) -> None:
    """Raise SwiftError with the rows that lack one of the columns that the loss called `loss` reads."""
    mistakes = Mistakes()
    for item in items:
        for column in columns:
            if item.record.columns.get(column) is None:
                message = f"The loss {loss!r} reads the column {column!r}, and this row has none."
                next_step = f"give every row {column!r}, or say which column has it: data.columns: {{{column}: COLUMN}}"
                mistakes.add("missing-column", message, item.row.place, next_step)
    mistakes.raise_any()
