"""Sophia-G with the empirical Fisher matrix (arXiv:2305.14342, alg. 3), slow and plain, in float64 NumPy."""

from __future__ import annotations

import numpy as np


class SophiaReference:
    """The state of one parameter."""

    def __init__(self, weight, *, lr, betas, rho, num_tokens, hessian_interval, weight_decay):
        """Start from `weight`."""
        self.weight, self.lr, self.betas, self.weight_decay = weight, lr, betas, weight_decay
        self.factor, self.interval = rho * num_tokens, hessian_interval
        self.mean, self.curvature, self.time = 0.0, 0.0, 0

    def step(self, gradient):
        """Apply one gradient."""
        beta1, beta2 = self.betas
        if self.time % self.interval == 0:
            self.curvature = beta2 * self.curvature + (1 - beta2) * gradient**2
        self.time += 1
        self.mean = beta1 * self.mean + (1 - beta1) * gradient
        size = np.minimum(np.abs(self.mean) / (self.factor * self.curvature + 1e-15), 1)
        self.weight = self.weight * (1 - self.lr * self.weight_decay) - self.lr * np.sign(self.mean) * size
