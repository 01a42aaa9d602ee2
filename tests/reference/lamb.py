"""LAMB (arXiv:1904.00962, alg. 2), slow and plain, in float64 NumPy."""

from __future__ import annotations

import numpy as np


class LambReference:
    """The state of one parameter."""

    def __init__(
        self,
        weight,
        *,
        lr,
        betas,
        eps,
        weight_decay,
        correct_bias=True,
        adapt_undecayed=True,
        trust_clip=False,
        max_weight_norm=0.0,
    ):
        """Start from `weight`."""
        self.correct_bias, self.clip, self.largest = correct_bias, trust_clip, max_weight_norm or np.inf
        self.adapts = adapt_undecayed or weight_decay > 0
        self.weight, self.lr, self.betas, self.eps, self.weight_decay = weight, lr, betas, eps, weight_decay
        self.time = 0
        self.first, self.second = np.zeros_like(weight), np.zeros_like(weight)

    def step(self, gradient):
        """Apply one gradient."""
        self.time += 1
        beta1, beta2 = self.betas
        self.first = beta1 * self.first + (1 - beta1) * gradient
        self.second = beta2 * self.second + (1 - beta2) * gradient**2
        first, second = self.first, self.second
        if self.correct_bias:
            first, second = first / (1 - beta1**self.time), second / (1 - beta2**self.time)
        update = first / (np.sqrt(second) + self.eps) + self.weight_decay * self.weight
        ratio = min(np.sqrt((self.weight**2).sum()), self.largest) / np.sqrt((update**2).sum())
        ratio = min(ratio, 1.0) if self.clip else ratio
        ratio = ratio if self.adapts else 1.0
        self.weight = self.weight - self.lr * ratio * update
