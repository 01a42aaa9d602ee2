"""Adagrad (Duchi et al., 2011, JMLR 12, fig. 1, diagonal), slow and plain, in float64 NumPy."""

from __future__ import annotations

import numpy as np


class AdagradReference:
    """The state of one parameter: all gradients that it has seen."""

    def __init__(self, weight, *, lr, lr_decay, eps, initial_accumulator_value, weight_decay, decoupled_decay):
        """Start from `weight`."""
        self.weight, self.lr, self.lr_decay, self.eps = weight, lr, lr_decay, eps
        self.initial, self.weight_decay, self.decoupled = initial_accumulator_value, weight_decay, decoupled_decay
        self.gradients = []

    def step(self, gradient):
        """Apply one gradient."""
        rate = self.lr / (1 + len(self.gradients) * self.lr_decay)
        if self.decoupled:
            self.weight = self.weight - rate * self.weight_decay * self.weight
        else:
            gradient = gradient + self.weight_decay * self.weight
        self.gradients.append(gradient)
        norms = np.sqrt(self.initial + (np.stack(self.gradients) ** 2).sum(0))
        self.weight = self.weight - rate * gradient / (norms + self.eps)
