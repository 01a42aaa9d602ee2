"""Prodigy (arXiv:2306.06101, alg. 4, as its authors run it), slow and plain, in float64 NumPy."""

from __future__ import annotations

import numpy as np


class ProdigyReference:
    """The state of some parameters, in lists."""

    def __init__(self, weights, *, lr, betas, eps, weight_decay, d0, d_coef, growth_rate, use_bias_correction):
        """Start from `weights`."""
        self.weights, self.starts = list(weights), [weight.copy() for weight in weights]
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.d = self.d0 = self.d_max = d0
        self.d_coef, self.growth_rate, self.use_bias_correction = d_coef, growth_rate, use_bias_correction
        self.time, self.numerator = 0, 0.0
        self.first, self.second, self.sums = ([np.zeros_like(w) for w in weights] for _ in range(3))

    def step(self, gradients):
        """Apply one gradient of each parameter."""
        self.time += 1
        beta1, beta2 = self.betas
        beta3 = np.sqrt(beta2)
        size = self.d * self.lr
        if self.use_bias_correction:
            size *= np.sqrt(1 - beta2**self.time) / (1 - beta1**self.time)
        self.numerator *= beta3
        for k, gradient in enumerate(gradients):
            self.numerator += self.d / self.d0 * size * (gradient * (self.starts[k] - self.weights[k])).sum()
            self.first[k] = beta1 * self.first[k] + (1 - beta1) * self.d * gradient
            self.second[k] = beta2 * self.second[k] + (1 - beta2) * (self.d * gradient) ** 2
            self.sums[k] = beta3 * self.sums[k] + self.d / self.d0 * size * gradient
        self._grow(self.d_coef * self.numerator / sum(np.abs(s).sum() for s in self.sums))
        for k in range(len(self.weights)):
            decayed = self.weights[k] - size * self.weight_decay * self.weights[k]
            self.weights[k] = decayed - size * self.first[k] / (np.sqrt(self.second[k]) + self.d * self.eps)

    def _grow(self, found):
        if self.d == self.d0:
            self.d = max(self.d, found)
        self.d_max = max(self.d_max, found)
        self.d = min(self.d_max, self.d * self.growth_rate)
