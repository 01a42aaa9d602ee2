"""Rewards of labelled completions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from swift_core.plugin_api import UnpairedOutputs


def log_ratio(rows: UnpairedOutputs) -> Tensor:
    """Return pi - ref of each completion, [row], in nats."""
    return rows.logps - rows.reference_logps


def signs(rows: UnpairedOutputs) -> Tensor:
    """Return 1 for a desirable completion and -1 for an undesirable one, [row]."""
    return torch.where(rows.desirable, 1.0, -1.0).to(rows.logps.dtype)


def weights(rows: UnpairedOutputs, desirable: float, undesirable: float) -> Tensor:
    """Return the weight of each row's label, [row]."""
    logps = rows.logps
    return torch.where(rows.desirable, logps.new_tensor(desirable), logps.new_tensor(undesirable))


def label_metrics(rows: UnpairedOutputs, rewards: Tensor, surplus: Tensor) -> dict[str, Tensor]:
    """Return the metrics of every loss on labelled completions, [row] each.

    Args:
        rows: The outputs.
        rewards: [row] implicit rewards.
        surplus: [row] by how much a reward exceeds what the loss compares it with. `reward_accuracy` is 1 where its
            sign agrees with the label, and 1/2 where it is zero: chance is 1/2.
    """
    desirable, missing = rows.desirable, torch.full_like(rewards, torch.nan)
    return {
        "reward_desirable": torch.where(desirable, rewards, missing),
        "reward_undesirable": torch.where(desirable, missing, rewards),
        "reward_accuracy": ((surplus * signs(rows)).sign() + 1) / 2,
    }
