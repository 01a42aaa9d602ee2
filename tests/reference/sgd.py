"""SGD with momentum, and LARS on top of it (arXiv:1708.03888, alg. 1), slow and plain, in float64 NumPy."""

from __future__ import annotations

import numpy as np


class SGDReference:
    """The state of one parameter."""

    def __init__(self, weight, *, lr, momentum, nesterov, weight_decay, decoupled_decay):
        """Start from `weight`."""
        self.weight, self.lr, self.momentum, self.nesterov = weight, lr, momentum, nesterov
        self.weight_decay, self.decoupled_decay = weight_decay, decoupled_decay
        self.buffer = np.zeros_like(weight)

    def step(self, gradient):
        """Apply one gradient."""
        if self.decoupled_decay:
            self.weight = self.weight - self.lr * self.weight_decay * self.weight
        else:
            gradient = gradient + self.weight_decay * self.weight
        self.buffer = self.momentum * self.buffer + gradient
        self.weight = self.weight - self.lr * (gradient + self.momentum * self.buffer if self.nesterov else self.buffer)


class LarsReference:
    """The state of one parameter."""

    def __init__(self, weight, *, lr, momentum, weight_decay, trust_coefficient):
        """Start from `weight`."""
        self.inner = SGDReference(
            weight, lr=lr, momentum=momentum, nesterov=False, weight_decay=0.0, decoupled_decay=False
        )
        self.weight_decay, self.trust_coefficient = weight_decay, trust_coefficient

    @property
    def weight(self):
        """The weights."""
        return self.inner.weight

    def step(self, gradient):
        """Apply one gradient."""
        weight_norm, grad_norm = np.sqrt((self.weight**2).sum()), np.sqrt((gradient**2).sum())
        rate = self.trust_coefficient * weight_norm / (grad_norm + self.weight_decay * weight_norm)
        rate = rate if gradient.ndim > 1 else 1.0
        self.inner.step(rate * (gradient + self.weight_decay * self.weight))
