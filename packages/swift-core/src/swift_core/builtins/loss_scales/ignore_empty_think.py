"""An empty thinking block, which a template writes into answers without thoughts, is not trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from swift_core.builtins.loss_scales._pieces import weighed


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoreEmptyThink:
    """Weight 0 on `<think>`, white space, `</think>` and the white space after it."""

    def get_loss_scale(
        self, context: str, context_type: Literal["query", "response", "system", "other"], is_last_round: bool, /
    ) -> tuple[Sequence[str], Sequence[float]]:
        """Return the context in pieces, with their weights."""
        return weighed(context, {}, {r"<think>\s*</think>\s*": 0.0})
