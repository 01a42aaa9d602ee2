"""Preference accuracy on held-out pairs: how often the chosen answer is the likelier one, with any loss.

    right[i] = s(chosen[i]) > s(rejected[i])
    preference_accuracy = mean right,       s = log p(answer | prompt), or divided by its tokens

`against_reference` takes log p - log p_ref instead, the implicit reward of Rafailov et al., 2023, arXiv:2305.18290,
eq. 5. A tie is not right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from swift_core.contracts.metric import Predictions


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceAccuracy:
    """Share of pairs whose chosen answer the model finds likelier."""

    per_token: bool = False
    """Whether log-probabilities are means over tokens, which does not favour short answers."""

    against_reference: bool = False
    """Whether those of the reference model are taken off; the loss must read one."""

    eats: ClassVar[Literal["predictions"]] = "predictions"
    families: ClassVar[tuple[str, ...]] = ("PairOutputs",)

    def preprocess_outputs(self, pairs: Any, /) -> Tensor:
        """Return by how much the chosen answer of each pair is likelier, [pair], in nats."""
        chosen, rejected = pairs.chosen_logps, pairs.rejected_logps
        if self.against_reference:
            chosen = chosen - pairs.reference_chosen_logps
            rejected = rejected - pairs.reference_rejected_logps
        if self.per_token:
            chosen, rejected = chosen / pairs.chosen_lengths, rejected / pairs.rejected_lengths
        difference: Tensor = chosen - rejected
        return difference

    def compute(self, evaluation: Predictions, /) -> dict[str, float]:
        """Return `preference_accuracy`, in [0, 1]."""
        right = sum(int((difference > 0).sum()) for difference in evaluation.values)
        return {"preference_accuracy": right / sum(map(len, evaluation.values))}
