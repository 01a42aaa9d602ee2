"""Implicit rewards: how much more likely a completion is under the policy than under the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from swift_core.plugin_api import PairOutputs


def log_ratios(pairs: PairOutputs) -> tuple[Tensor, Tensor]:
    """Return pi - ref of the chosen and of the rejected completion, [pair] each, in nats."""
    chosen = pairs.chosen_logps - pairs.reference_chosen_logps
    rejected = pairs.rejected_logps - pairs.reference_rejected_logps
    return chosen, rejected


def reward_metrics(chosen: Tensor, rejected: Tensor) -> dict[str, Tensor]:
    """Return the metrics of every loss that compares two rewards, [pair] each.

    `reward_accuracy` is 1 where the chosen completion has the higher reward and 1/2 where they are equal, as they are
    for a policy that is still its own reference: chance is 1/2.
    """
    margin = chosen - rejected
    accuracy = (margin.sign() + 1) / 2
    return {"reward_chosen": chosen, "reward_rejected": rejected, "reward_margin": margin, "reward_accuracy": accuracy}
