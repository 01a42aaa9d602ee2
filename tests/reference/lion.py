"""Lion (arXiv:2302.06675, alg. 2), slow and plain, in float64 NumPy."""

from __future__ import annotations

import numpy as np


class LionReference:
    """The state of one parameter."""

    def __init__(self, weight, *, lr, betas, weight_decay):
        """Start from `weight`."""
        self.weight, self.lr, self.betas, self.weight_decay = weight, lr, betas, weight_decay
        self.momentum = np.zeros_like(weight)

    def step(self, gradient):
        """Apply one gradient."""
        beta1, beta2 = self.betas
        update = np.sign(beta1 * self.momentum + (1 - beta1) * gradient)
        self.weight = self.weight - self.lr * (update + self.weight_decay * self.weight)
        self.momentum = beta2 * self.momentum + (1 - beta2) * gradient
