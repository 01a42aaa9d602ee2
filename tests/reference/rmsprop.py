"""RMSprop (Tieleman and Hinton, 2012, lecture 6.5; arXiv:1308.0850, eq. 38 to 41), in float64 NumPy."""

from __future__ import annotations

import numpy as np


class RMSpropReference:
    """The state of one parameter: all gradients and all divided ones; means are weighted sums over them."""

    def __init__(self, weight, *, lr, alpha, eps, momentum, centered, weight_decay, decoupled_decay):
        """Start from `weight`."""
        self.weight, self.lr, self.alpha, self.eps = weight, lr, alpha, eps
        self.momentum, self.centered = momentum, centered
        self.weight_decay, self.decoupled = weight_decay, decoupled_decay
        self.gradients, self.divided = [], []

    def mean(self, values):
        """Return the mean of `values`, the newest with weight 1 - alpha, each older one with alpha times that."""
        return sum((1 - self.alpha) * self.alpha**age * value for age, value in enumerate(reversed(values)))

    def step(self, gradient):
        """Apply one gradient."""
        if self.decoupled:
            self.weight = self.weight - self.lr * self.weight_decay * self.weight
        else:
            gradient = gradient + self.weight_decay * self.weight
        self.gradients.append(gradient)
        variance = self.mean([past**2 for past in self.gradients])
        if self.centered:
            variance = variance - self.mean(self.gradients) ** 2
        self.divided.append(gradient / (np.sqrt(variance) + self.eps))
        moves = (self.momentum**age * divided for age, divided in enumerate(reversed(self.divided)))
        self.weight = self.weight - self.lr * sum(moves)
