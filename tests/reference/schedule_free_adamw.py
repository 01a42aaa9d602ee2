"""Schedule-free AdamW (arXiv:2405.15682, alg. 1), slow and plain, in float64 NumPy."""

from __future__ import annotations

import numpy as np
from tests.reference.schedule_free import ScheduleFreeAverage


class ScheduleFreeReference(ScheduleFreeAverage):
    """The state of one parameter; `weight` is y, `average` is x."""

    def __init__(self, weight, *, lr, betas, eps, weight_decay, r, weight_lr_power):
        """Start from `weight`."""
        super().__init__(weight, beta=betas[0], r=r, weight_lr_power=weight_lr_power)
        self.lr, self.beta2, self.eps, self.weight_decay = lr, betas[1], eps, weight_decay
        self.second = np.zeros_like(weight)

    def step(self, gradient):
        """Apply one gradient, taken at y."""
        self.second = self.beta2 * self.second + (1 - self.beta2) * gradient**2
        root = np.sqrt(self.second / (1 - self.beta2 ** (self.time + 1))) + self.eps
        self.move(gradient / root + self.weight_decay * self.weight, self.lr)
