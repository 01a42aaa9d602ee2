"""Loss scales: how much each part of a conversation counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence


class LossScale(Protocol):
    """A `swift.loss_scales` plugin, built from its options. Loading it must not import torch."""

    def get_loss_scale(
        self, context: str, context_type: Literal["query", "response", "system", "other"], is_last_round: bool, /
    ) -> tuple[Sequence[str], Sequence[float]]:
        """Return `context` cut into pieces, and the weight of each piece's tokens in the loss.

        Joined, the pieces are `context` again. A weight is >= 0; 0 means that the piece is not trained.
        """
