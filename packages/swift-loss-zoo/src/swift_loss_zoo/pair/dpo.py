"""Direct preference optimisation (DPO): logistic regression on the policy's implicit reward margin.

    loss = -log sigmoid(beta * ((pi_c - ref_c) - (pi_r - ref_r)))

pi and ref are summed completion log-probabilities in nats, c chosen and r rejected. Rafailov et al., 2023,
arXiv:2305.18290, eq. 7. Label smoothing: Mitchell, 2023, "A note on DPO with noisy preferences" (cDPO). With another
`f_divergence` than the reverse KL, each log-ratio d = pi - ref is replaced by f'(exp(d)): Wang et al., 2023,
arXiv:2309.16240.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch.nn.functional as F

from swift_core.plugin_api import LossOutput, PairOutputs, require_between, require_positive
from swift_loss_zoo._divergences import implied_reward
from swift_loss_zoo._rewards import log_ratios, reward_metrics


@dataclass(frozen=True, kw_only=True)
class DPO:
    """How far the policy may move, and how far to trust the labels.

    It has no slots, because an instance says for itself whether it needs a reference.
    """

    beta: float = 0.1
    """Pull towards the reference model, > 0; smaller lets the policy move further."""

    label_smoothing: float = 0.0
    """Share of preference labels assumed to be flipped, in [0, 0.5)."""

    f_divergence: Literal["reverse_kl", "forward_kl", "js", "alpha"] = "reverse_kl"
    """Which divergence from the reference is held down."""

    alpha: float = 0.5
    """Of the alpha divergence, in (0, 1): near 0 it is the reverse KL, near 1 the forward KL."""

    reference_free: bool = False
    """Take the reference as uniform: none is loaded. With `alpha: 0.0`, `cpo` is the same loss."""

    needs_reference: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(beta=self.beta, alpha=self.alpha)
        require_between(0.0, 0.5, label_smoothing=self.label_smoothing)
        require_between(0.0, 1.0, alpha=self.alpha)
        if self.alpha != 0.5 and self.f_divergence != "alpha":
            raise ValueError(f"alpha has no effect with f_divergence: {self.f_divergence}")
        if self.reference_free and self.f_divergence != "reverse_kl":
            raise ValueError(f"reference_free has no reference for f_divergence: {self.f_divergence} to measure from")
        object.__setattr__(self, "needs_reference", not self.reference_free)

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair, with implicit-reward metrics."""
        ratios = (pairs.chosen_logps, pairs.rejected_logps) if self.reference_free else log_ratios(pairs)
        reward_chosen, reward_rejected = (
            self.beta * implied_reward(self.f_divergence, ratio, self.alpha) for ratio in ratios
        )
        margin = reward_chosen - reward_rejected

        kept = -F.logsigmoid(margin)
        flipped = -F.logsigmoid(-margin)
        losses = (1 - self.label_smoothing) * kept + self.label_smoothing * flipped
        return LossOutput(losses, metrics=reward_metrics(reward_chosen, reward_rejected))
