"""Tool calls count more than the words around them, in the forms that chat models write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from swift_core.builtins.loss_scales._pieces import weighed
from swift_core.plugin_api import require_nonnegative

HERMES = r"<tool_call>.+?</tool_call>"
QWEN_FUNCTION = "✿FUNCTION✿:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hermes:
    """Weigh `<tool_call>...</tool_call>` blocks (Hermes, Qwen 2.5 and 3)."""

    call_weight: float = 2.0
    """Weight of a call, >= 0."""

    def __post_init__(self) -> None:
        require_nonnegative(call_weight=self.call_weight)

    def get_loss_scale(
        self, context: str, context_type: Literal["query", "response", "system", "other"], is_last_round: bool, /
    ) -> tuple[Sequence[str], Sequence[float]]:
        """Return the context in pieces, with their weights."""
        return weighed(context, {}, {HERMES: self.call_weight})


@dataclass(frozen=True, slots=True, kw_only=True)
class Qwen:
    """Weigh `FUNCTION`, `ARGS`, `RESULT` and `RETURN` sections between flower marks (Qwen-Agent)."""

    call_weight: float = 2.0
    """Weight of a call with its arguments, >= 0; what the tool returns is not trained."""

    def __post_init__(self) -> None:
        require_nonnegative(call_weight=self.call_weight)

    def get_loss_scale(
        self, context: str, context_type: Literal["query", "response", "system", "other"], is_last_round: bool, /
    ) -> tuple[Sequence[str], Sequence[float]]:
        """Return the context in pieces, with their weights."""
        call = self.call_weight
        marks = {
            QWEN_FUNCTION: (call, call),
            "✿ARGS✿:": (call, call),
            "✿RESULT✿:": (call, 0.0),
            "✿RETURN✿:": (1.0, 1.0),
        }
        return weighed(context, marks, {})
