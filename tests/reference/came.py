"""CAME (arXiv:2307.02047, alg. 2), slow and plain, in float64 NumPy."""

from __future__ import annotations

import numpy as np
from tests.reference.adafactor import rms


class FactoredMean:
    """A running mean of matrices, known by its rows and columns."""

    def __init__(self, beta):
        """Start from zeros."""
        self.beta, self.row, self.column = beta, 0.0, 0.0

    def add(self, squared):
        """Take one more matrix in and return the mean."""
        self.row = self.beta * self.row + (1 - self.beta) * squared.mean(-1, keepdims=True)
        self.column = self.beta * self.column + (1 - self.beta) * squared.mean(-2, keepdims=True)
        return self.row * self.column / self.row.mean(-2, keepdims=True)


class CameReference:
    """The state of one parameter."""

    def __init__(self, weight, *, lr, betas, beta3, eps_confidence, clip_threshold, weight_decay):
        """Start from `weight`."""
        self.weight, self.lr, self.betas, self.weight_decay = weight, lr, betas, weight_decay
        self.eps_confidence, self.clip_threshold = eps_confidence, clip_threshold
        self.second, self.residual = FactoredMean(betas[1]), FactoredMean(beta3)
        self.whole = self.mean = 0.0

    def step(self, gradient):
        """Apply one gradient."""
        beta1, beta2 = self.betas
        squared = gradient**2 + 1e-30
        if gradient.ndim >= 2:
            second = self.second.add(squared)
        else:
            second = self.whole = beta2 * self.whole + (1 - beta2) * squared
        update = gradient / np.sqrt(second)
        update = update / max(1.0, rms(update) / self.clip_threshold)
        self.mean = beta1 * self.mean + (1 - beta1) * update
        move = self.mean
        if gradient.ndim >= 2:
            move = self.mean / np.sqrt(self.residual.add((update - self.mean) ** 2 + self.eps_confidence))
        self.weight = self.weight * (1 - self.lr * self.weight_decay) - self.lr * move
