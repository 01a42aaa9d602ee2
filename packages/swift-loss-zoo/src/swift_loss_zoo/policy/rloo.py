"""REINFORCE leave-one-out (RLOO): the whole completion is one action, its baseline the other samples of the prompt.

    loss = -A * sum over t of log pi

pi is a token's probability under the policy and A the completion's advantage: its reward less the mean reward of the
others (`swift_loss_zoo.advantages.leave_one_out`). Ahmadian et al., 2024, arXiv:2402.14740.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swift_core.plugin_api import LossOutput, PolicyOutputs
from swift_loss_zoo._policy import row_advantages, row_sums


@dataclass(frozen=True, slots=True, kw_only=True)
class RLOO:
    """Nothing to choose."""

    needs_reference: ClassVar[bool] = False

    def __call__(self, policy: PolicyOutputs) -> LossOutput:
        """Return one loss per completion."""
        return LossOutput(-row_advantages(policy) * row_sums(policy, policy.logps))
