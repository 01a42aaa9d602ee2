"""GrokAdamW, slow and plain, in float64 NumPy."""

from __future__ import annotations

import numpy as np


class GrokAdamWReference:
    """The state of one parameter, the `place`-th of its group."""

    def __init__(self, weight, *, lr, betas, eps, weight_decay, alpha, lamb, gamma, gradient_clipping, place=0):
        """Start from `weight`."""
        self.weight, self.lr, self.betas, self.eps, self.weight_decay = weight, lr, betas, eps, weight_decay
        self.alpha, self.lamb, self.clip = alpha, lamb, gradient_clipping
        self.own_beta1 = betas[0]
        for _ in range(place):
            self.own_beta1 = self.own_beta1 - gamma * self.own_beta1
        self.time = 0
        self.slow, self.first, self.second = (np.zeros_like(weight) for _ in range(3))

    def step(self, gradient):
        """Apply one gradient."""
        self.time += 1
        norm = np.sqrt((gradient**2).sum())
        if self.clip and norm + 1e-6 > self.clip:
            gradient = gradient * self.clip / (norm + 1e-6)
        self.slow = self.alpha * self.slow + (1 - self.alpha) * gradient
        amplified = gradient + self.lamb * self.slow
        self.first = self.own_beta1 * self.first + (1 - self.own_beta1) * amplified
        self.second = self.betas[1] * self.second + (1 - self.betas[1]) * amplified**2
        corrected = self.first / (1 - self.betas[0] ** self.time)
        root = (np.sqrt(self.second) + self.eps) / np.sqrt(1 - self.betas[1] ** self.time)
        self.weight = (1 - self.lr * self.weight_decay) * self.weight - self.lr * corrected / root
