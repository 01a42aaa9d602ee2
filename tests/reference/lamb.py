"""LAMB (arXiv:1904.00962, alg. 2), slow and plain, in float64 NumPy."""

from __future__ import annotations

import numpy as np


class LambReference:
    """The state of one parameter."""

    def __init__(self, weight, *, lr, betas, eps, weight_decay):
        """Start from `weight`."""
        self.weight, self.lr, self.betas, self.eps, self.weight_decay = weight, lr, betas, eps, weight_decay
        self.time = 0
        self.first, self.second = np.zeros_like(weight), np.zeros_like(weight)

    def step(self, gradient):
        """Apply one gradient."""
        self.time += 1
        beta1, beta2 = self.betas
        self.first = beta1 * self.first + (1 - beta1) * gradient
        self.second = beta2 * self.second + (1 - beta2) * gradient**2
        first, second = self.first / (1 - beta1**self.time), self.second / (1 - beta2**self.time)
        update = first / (np.sqrt(second) + self.eps) + self.weight_decay * self.weight
        ratio = np.sqrt((self.weight**2).sum()) / np.sqrt((update**2).sum())
        self.weight = self.weight - self.lr * ratio * update
