"""ReAct agents (Yao et al., 2022, arXiv:2210.03629): the action counts double, what tools say is not trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from swift_core.builtins.loss_scales._pieces import weighed
from swift_core.plugin_api import require_nonnegative


@dataclass(frozen=True, slots=True, kw_only=True)
class React:
    """Weights for `Thought:`, `Action:`, `Action Input:`, `Observation:` and `Final Answer:`."""

    action_weight: float = 2.0
    """Weight of the action, its input, and the word `Observation:` that hands over to the tool, >= 0."""

    thought_weight: float = 1.0
    """Weight of thoughts and of the final answer, >= 0."""

    def __post_init__(self) -> None:
        require_nonnegative(action_weight=self.action_weight, thought_weight=self.thought_weight)

    def get_loss_scale(
        self, context: str, context_type: Literal["query", "response", "system", "other"], is_last_round: bool, /
    ) -> tuple[Sequence[str], Sequence[float]]:
        """Return the context in pieces, with their weights."""
        action, thought = self.action_weight, self.thought_weight
        marks = {
            "Action:": (action, action),
            "Action Input:": (action, action),
            "Observation:": (action, 0.0),
            "Thought:": (thought, thought),
            "Final Answer:": (thought, thought),
        }
        return weighed(context, marks, {})
