"""Binary classifier optimisation (BCO): logistic regression of the label on the implicit reward, less a running mean.

    loss = -log sigmoid(beta * d - delta)       of a desirable completion
    loss = -log sigmoid(-(beta * d - delta))    of an undesirable one
    delta = mean of beta * d over all rows of all steps until this one

pi and ref are summed completion log-probabilities in nats, d = pi - ref, and delta has no gradient; it takes in a whole
optimizer step at a time, of all processes. Jung et al., 2024, arXiv:2404.04656.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from swift_core.plugin_api import LossOutput, UnpairedOutputs, require_positive
from swift_loss_zoo._labels import label_metrics, log_ratio, signs


def _nothing_seen() -> Tensor:
    return torch.zeros(2, 2, dtype=torch.float64)


@dataclass(slots=True, kw_only=True)
class BCO:
    """How far the policy may move, and where the classes are parted."""

    beta: float = 0.1
    """Pull towards the reference model, > 0; smaller lets the policy move further."""

    balanced: bool = False
    """Let delta stand midway between the mean rewards of the two labels, whatever their numbers of rows."""

    _seen: Tensor = field(init=False, repr=False, compare=False, default_factory=_nothing_seen)
    """[label, (sum of rewards, rows)] of all steps; undesirable rows first."""

    needs_reference: ClassVar[bool] = True
    couples_items: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(beta=self.beta)

    @property
    def delta(self) -> Tensor:
        """The reward at which both labels are equally likely: a float64 scalar, 0 before the first step."""
        sums, counts = self._seen.unbind(-1)
        if not self.balanced:
            return sums.sum() / counts.sum().clamp(min=1)
        present = counts > 0
        return (sums / counts.clamp(min=1)).sum() / present.sum().clamp(min=1)

    def statistics(self, rows: UnpairedOutputs) -> Mapping[str, Tensor]:
        """Return each row's reward, by label, and which label it has."""
        rewards, desirable = self.beta * log_ratio(rows).detach(), rows.desirable.to(rows.logps.dtype)
        return {
            "desirable": desirable,
            "reward_desirable": rewards * desirable,
            "reward_undesirable": rewards * (1 - desirable),
        }

    def update(self, statistics: Mapping[str, Tensor], num_items: Tensor) -> None:
        """Take in the mean rewards of a step of `num_items` rows."""
        means = torch.stack(
            [
                torch.stack([statistics["reward_undesirable"], 1 - statistics["desirable"]]),
                torch.stack([statistics["reward_desirable"], statistics["desirable"]]),
            ]
        )
        self._seen = self._seen + (means * num_items.to(means)).to(self._seen)

    def state_dict(self) -> dict[str, Tensor]:
        """Return what was seen so far."""
        return {"seen": self._seen}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what was seen."""
        self._seen = state["seen"].clone()

    def __call__(self, rows: UnpairedOutputs) -> LossOutput:
        """Return one loss per row, with implicit-reward metrics and delta."""
        rewards = self.beta * log_ratio(rows)
        delta = self.delta.to(rewards)
        losses = -F.logsigmoid(signs(rows) * (rewards - delta))
        metrics = label_metrics(rows, rewards, rewards - delta)
        return LossOutput(losses, metrics={**metrics, "delta": delta.expand(len(losses))})
