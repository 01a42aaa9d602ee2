"""ADOPT (arXiv:2411.02853, alg. 2), slow and plain, in float64 NumPy."""

from __future__ import annotations

import numpy as np


class AdoptReference:
    """The state of one parameter."""

    def __init__(self, weight, *, lr, betas, eps, weight_decay, clip, clip_power=0.25, decoupled_decay=True):
        """Start from `weight`."""
        self.weight, self.lr, self.betas, self.eps = weight, lr, betas, eps
        self.weight_decay, self.clip, self.power, self.decoupled = weight_decay, clip, clip_power, decoupled_decay
        self.time = 0
        self.first, self.second = np.zeros_like(weight), np.zeros_like(weight)

    def step(self, gradient):
        """Apply one gradient."""
        beta1, beta2 = self.betas
        decay = self.weight_decay if self.decoupled else 0.0
        gradient = gradient if self.decoupled else gradient + self.weight_decay * self.weight
        if self.time == 0:
            self.second = gradient**2
        else:
            normalized = gradient / np.maximum(np.sqrt(self.second), self.eps)
            if self.clip:
                normalized = np.clip(normalized, -(self.time**self.power), self.time**self.power)
            self.first = beta1 * self.first + (1 - beta1) * normalized
            self.weight = self.weight - self.lr * decay * self.weight - self.lr * self.first
            self.second = beta2 * self.second + (1 - beta2) * gradient**2
        self.time += 1
