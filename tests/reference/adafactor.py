"""Adafactor (arXiv:1804.04235, alg. 4 and 5), slow and plain, in float64 NumPy."""

from __future__ import annotations

import numpy as np


def rms(array):
    """Return the root of the mean square."""
    return np.sqrt((array**2).mean())


class AdafactorReference:
    """The state of one parameter."""

    def __init__(
        self,
        weight,
        *,
        lr,
        clip_threshold,
        decay_rate,
        beta1,
        weight_decay,
        scale_parameter,
        relative_step,
        warmup_init=False,
        scaled_decay=False,
    ):
        """Start from `weight`."""
        self.weight, self.lr, self.clip_threshold, self.decay_rate = weight, lr, clip_threshold, decay_rate
        self.beta1, self.weight_decay = beta1, weight_decay
        self.scale_parameter, self.relative_step = scale_parameter, relative_step
        self.warmup_init, self.scaled_decay = warmup_init, scaled_decay
        self.num_steps = 0
        self.row = self.column = self.second = self.mean = 0.0

    def step(self, gradient):
        """Apply one gradient."""
        self.num_steps += 1
        beta = 1 - self.num_steps**self.decay_rate
        squared = gradient**2 + 1e-30
        if gradient.ndim >= 2:
            self.row = beta * self.row + (1 - beta) * squared.mean(-1, keepdims=True)
            self.column = beta * self.column + (1 - beta) * squared.mean(-2, keepdims=True)
            second = self.row * self.column / self.row.mean(-2, keepdims=True)
        else:
            second = self.second = beta * self.second + (1 - beta) * squared
        update = gradient / np.sqrt(second)
        update = update / max(1.0, rms(update) / self.clip_threshold)
        size = min(self.lr, 1 / np.sqrt(self.num_steps)) if self.relative_step else self.lr
        size = min(size, 1e-6 * self.num_steps) if self.warmup_init else size
        size = size * max(1e-3, rms(self.weight)) if self.scale_parameter else size
        update = update * size
        self.mean = self.beta1 * self.mean + (1 - self.beta1) * update
        decay = (size if self.scaled_decay else self.lr) * self.weight_decay
        self.weight = self.weight - decay * self.weight - self.mean
