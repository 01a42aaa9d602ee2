"""The whole conversation is trained: questions, system prompt and the template's own marks too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class All:
    """Weight 1 on every token; a turn with `loss: false` stays out."""

    base: ClassVar[bool] = True
    trains_prompts: ClassVar[bool] = True

    def get_loss_scale(
        self, context: str, context_type: Literal["query", "response", "system", "other"], is_last_round: bool, /
    ) -> tuple[Sequence[str], Sequence[float]]:
        """Return the context whole, with its weight."""
        return [context], [1.0]
