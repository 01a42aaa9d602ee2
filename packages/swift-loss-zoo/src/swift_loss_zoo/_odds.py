"""Odds of a completion from its mean log-probability."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LARGEST = -1e-6
"""Mean log-probabilities above this are taken as this: at 0 the odds are infinite and so is their gradient."""


def log_odds(mean_logps: Tensor) -> Tensor:
    """Return log(p / (1 - p)) for p = exp(mean_logps), elementwise and finite with a finite gradient.

    log(1 - exp(x)) is formed as log(-expm1(x)) near zero and log1p(-exp(x)) elsewhere (Maechler, 2012, "Accurately
    computing log(1 - exp(-|a|))").
    """
    bounded = mean_logps.clamp(max=LARGEST)
    near = bounded > -math.log(2)
    by_expm1 = torch.log(-torch.expm1(torch.where(near, bounded, -1.0)))
    by_log1p = torch.log1p(-torch.exp(torch.where(near, -1.0, bounded)))
    return bounded - torch.where(near, by_expm1, by_log1p)
