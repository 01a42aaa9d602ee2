"""f-divergences between policy and reference, as the reward that each implies: f'(u) at u = pi / ref.

    reverse_kl   d
    forward_kl   1 - exp(-d)
    js           log 2 + log sigmoid(d)
    alpha        (1 - exp(-alpha * d)) / alpha        between reverse_kl (alpha -> 0) and forward_kl (alpha = 1)

d is the log-ratio log u. Each is the paper's f' less its value at u = 1: a constant cancels between the two completions
of a pair, and so a policy that is still its own reference has reward 0. Wang et al., 2023, arXiv:2309.16240.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from swift_loss_zoo._bounded import bounded_expm1

Divergence = Literal["reverse_kl", "forward_kl", "js", "alpha"]


def _reverse_kl(log_ratios: Tensor, alpha: float) -> Tensor:
    return log_ratios


def _forward_kl(log_ratios: Tensor, alpha: float) -> Tensor:
    return -bounded_expm1(-log_ratios)


def _js(log_ratios: Tensor, alpha: float) -> Tensor:
    return math.log(2) + F.logsigmoid(log_ratios)


def _alpha(log_ratios: Tensor, alpha: float) -> Tensor:
    return -bounded_expm1(-alpha * log_ratios) / alpha


_REWARDS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "reverse_kl": _reverse_kl,
    "forward_kl": _forward_kl,
    "js": _js,
    "alpha": _alpha,
}


def implied_reward(divergence: Divergence, log_ratios: Tensor, alpha: float) -> Tensor:
    """Return the reward per unit of beta that each log-ratio means, same shape; only `alpha` reads `alpha`."""
    return _REWARDS[divergence](log_ratios, alpha)
