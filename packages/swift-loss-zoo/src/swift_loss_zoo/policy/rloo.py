"""REINFORCE leave-one-out (RLOO): the whole completion is one action, its baseline the other samples of the prompt.

    loss = -A * sum over t of log pi
    loss = -min(r * A, clip(r, 1 - epsilon, 1 + epsilon) * A)        with epsilon: r = product over t of pi / pi_old

pi and pi_old are a token's probabilities under the policy and the policy that sampled it, and A is the completion's
advantage: its reward less the mean reward of the others (`swift_loss_zoo.advantages.leave_one_out`). Ahmadian et al.,
2024, arXiv:2402.14740, eq. 6. The paper has the first form; on fresh samples, where pi is pi_old, both have the same
gradient, and the second one is for samples that are used more than once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swift_core.plugin_api import LossOutput, PolicyOutputs, require_between
from swift_loss_zoo._bounded import bounded_exp
from swift_loss_zoo._policy import clipped, log_ratios, row_advantages, row_sums


@dataclass(frozen=True, slots=True, kw_only=True)
class RLOO:
    """Whether samples are used once or more often."""

    epsilon: float | None = None
    """How far the ratio of a whole completion may move from 1 before it has no gradient, in [0, 1); null: no ratio."""

    needs_reference: ClassVar[bool] = False
    advantages: ClassVar[str] = "leave_one_out"

    def __post_init__(self) -> None:
        if self.epsilon is not None:
            require_between(0.0, 1.0, epsilon=self.epsilon)

    def __call__(self, policy: PolicyOutputs) -> LossOutput:
        """Return one loss per completion."""
        advantages = row_advantages(policy)
        if self.epsilon is None:
            return LossOutput(-advantages * row_sums(policy, policy.logps))
        ratios = bounded_exp(row_sums(policy, log_ratios(policy)))
        losses = clipped(ratios, advantages, self.epsilon, self.epsilon)
        up, down = (ratios > 1 + self.epsilon) & (advantages > 0), (ratios < 1 - self.epsilon) & (advantages < 0)
        return LossOutput(losses, metrics={"ratio": ratios, "clipped": (up | down).to(ratios.dtype)})
