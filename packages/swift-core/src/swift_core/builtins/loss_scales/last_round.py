"""Only what the assistant says after the last question is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRound:
    """Weight 1 on the assistant turns after the last user turn, 0 on all else."""

    base: ClassVar[bool] = True

    def get_loss_scale(
        self, context: str, context_type: Literal["query", "response", "system", "other"], is_last_round: bool, /
    ) -> tuple[Sequence[str], Sequence[float]]:
        """Return the context whole, with its weight."""
        return [context], [float(context_type == "response" and is_last_round)]
