"""Kahneman-Tversky optimisation (KTO): a wanted completion should gain on the policy's KL divergence, an unwanted lose.

    loss = w_d * (1 - sigmoid(beta * (d - kl)))    of a desirable completion
    loss = w_u * (1 - sigmoid(beta * (kl - d)))    of an undesirable one
    kl = max(0, mean of d over completions to other prompts)

pi and ref are summed completion log-probabilities in nats, d = pi - ref, and kl has no gradient; its mean runs over the
whole optimizer step, on all processes. Ethayarajh et al., 2024, arXiv:2402.01306, eq. 8 and section 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from swift_core.plugin_api import LossOutput, UnpairedOutputs, require_nonnegative, require_positive
from swift_loss_zoo._labels import label_metrics, log_ratio, signs, weights

if TYPE_CHECKING:
    from torch import Tensor

ALONE: Mapping[str, Tensor] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class KTO:
    """How far the policy may move, and how much each label counts."""

    beta: float = 0.1
    """Pull towards the reference model, > 0; smaller lets the policy move further."""

    desirable_weight: float = 1.0
    """What a desirable row's loss is multiplied by, >= 0."""

    undesirable_weight: float = 1.0
    """What an undesirable row's loss is multiplied by, >= 0."""

    needs_reference: ClassVar[bool] = True
    needs_mismatched: ClassVar[bool] = True
    couples_items: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)
        require_nonnegative(desirable_weight=self.desirable_weight, undesirable_weight=self.undesirable_weight)

    def statistics(self, rows: UnpairedOutputs) -> Mapping[str, Tensor]:
        """Return d of a completion to another prompt, whose mean estimates the KL divergence from the reference."""
        return {"kl": (rows.kl_logps - rows.reference_kl_logps).detach()}

    def __call__(self, rows: UnpairedOutputs, *, statistics: Mapping[str, Tensor] = ALONE) -> LossOutput:
        """Return one loss per row, with implicit-reward metrics and the KL divergence.

        Args:
            rows: The outputs.
            statistics: `kl`, the mean over the whole step; left out, the mean over `rows` stands for it.
        """
        mean = statistics["kl"] if "kl" in statistics else self.statistics(rows)["kl"].mean()
        baseline = mean.clamp(min=0).to(rows.logps.dtype)
        ratio = log_ratio(rows)
        surplus = ratio - baseline
        losses = (-self.beta * signs(rows) * surplus).sigmoid()
        losses = weights(rows, self.desirable_weight, self.undesirable_weight) * losses
        metrics = label_metrics(rows, self.beta * ratio, surplus)
        return LossOutput(losses, metrics={**metrics, "kl": baseline.expand(len(losses))})
