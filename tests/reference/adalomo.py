"""AdaLomo (arXiv:2310.10195, alg. 1), slow and plain, in float64 NumPy."""

from __future__ import annotations

import numpy as np
from tests.reference.adafactor import rms


class AdaLomoReference:
    """The state of one parameter."""

    def __init__(self, weight, *, lr, clip_threshold, decay_rate, eps_scale, weight_decay, clip_value=0.0):
        """Start from `weight`."""
        self.weight, self.lr, self.clip_threshold, self.decay_rate = weight, lr, clip_threshold, decay_rate
        self.eps_scale, self.weight_decay, self.clip_value = eps_scale, weight_decay, clip_value or np.inf
        self.row = self.column = self.second = 0.0
        self.time = 0

    def step(self, gradient):
        """Apply one gradient."""
        self.time += 1
        gradient = np.clip(gradient, -self.clip_value, self.clip_value)
        beta = 1 - self.time**self.decay_rate
        squared = gradient**2 + 1e-30
        if gradient.ndim >= 2:
            self.row = beta * self.row + (1 - beta) * squared.mean(-1, keepdims=True)
            self.column = beta * self.column + (1 - beta) * squared.mean(-2, keepdims=True)
            second = self.row * self.column / self.row.mean(-2, keepdims=True)
        else:
            second = self.second = beta * self.second + (1 - beta) * squared
        update = gradient / np.sqrt(second)
        update = update / max(1.0, rms(update) / self.clip_threshold)
        size = self.lr * max(self.eps_scale, rms(self.weight))
        self.weight = self.weight * (1 - size * self.weight_decay) - size * update
