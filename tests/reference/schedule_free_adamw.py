"""Schedule-free AdamW (arXiv:2405.15682, alg. 1), slow and plain, in float64 NumPy: x, y and z are all kept."""

from __future__ import annotations

import numpy as np


class ScheduleFreeReference:
    """The state of one parameter; `weight` is y, `average` is x."""

    def __init__(self, weight, *, lr, betas, eps, weight_decay, r, weight_lr_power):
        """Start from `weight`."""
        self.weight, self.average, self.z = weight, weight, weight
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.r, self.weight_lr_power = r, weight_lr_power
        self.time, self.lr_max, self.sum_of_weights = 0, 0.0, 0.0
        self.second = np.zeros_like(weight)

    def step(self, gradient):
        """Apply one gradient, taken at y."""
        self.time += 1
        beta1, beta2 = self.betas
        self.second = beta2 * self.second + (1 - beta2) * gradient**2
        root = np.sqrt(self.second / (1 - beta2**self.time)) + self.eps
        self.z = self.z - self.lr * (gradient / root + self.weight_decay * self.weight)
        self.lr_max = max(self.lr, self.lr_max)
        weight = self.time**self.r * self.lr_max**self.weight_lr_power
        self.sum_of_weights += weight
        share = weight / self.sum_of_weights
        self.average = (1 - share) * self.average + share * self.z
        self.weight = (1 - beta1) * self.z + beta1 * self.average
