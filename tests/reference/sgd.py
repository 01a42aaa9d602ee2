"""SGD with momentum, and LARS on top of it (arXiv:1708.03888, alg. 1), slow and plain, in float64 NumPy."""

from __future__ import annotations

import numpy as np


class SGDReference:
    """The state of one parameter."""

    def __init__(self, weight, *, lr, momentum, nesterov, weight_decay, decoupled_decay, dampening=0.0):
        """Start from `weight`."""
        self.weight, self.lr, self.momentum, self.nesterov = weight, lr, momentum, nesterov
        self.weight_decay, self.decoupled_decay = weight_decay, decoupled_decay
        self.dampening, self.buffer = dampening if momentum else 0.0, None

    def step(self, gradient):
        """Apply one gradient."""
        if self.decoupled_decay:
            self.weight = self.weight - self.lr * self.weight_decay * self.weight
        else:
            gradient = gradient + self.weight_decay * self.weight
        first = self.buffer is None
        self.buffer = gradient if first else self.momentum * self.buffer + (1 - self.dampening) * gradient
        self.weight = self.weight - self.lr * (gradient + self.momentum * self.buffer if self.nesterov else self.buffer)


class LarsReference:
    """The state of one parameter."""

    def __init__(
        self,
        weight,
        *,
        lr,
        momentum,
        weight_decay,
        trust_coefficient,
        trust_clip=False,
        adapt_vectors=False,
        adapt_undecayed=True,
    ):
        """Start from `weight`."""
        self.inner = SGDReference(
            weight, lr=lr, momentum=momentum, nesterov=False, weight_decay=0.0, decoupled_decay=False
        )
        self.weight_decay, self.trust_coefficient, self.clip = weight_decay, trust_coefficient, trust_clip
        self.vectors, self.undecayed = adapt_vectors, adapt_undecayed

    @property
    def weight(self):
        """The weights."""
        return self.inner.weight

    def step(self, gradient):
        """Apply one gradient."""
        weight_norm, grad_norm = np.sqrt((self.weight**2).sum()), np.sqrt((gradient**2).sum())
        rate = self.trust_coefficient * weight_norm / (grad_norm + self.weight_decay * weight_norm)
        rate = min(rate / self.inner.lr, 1.0) if self.clip else rate
        rate = rate if gradient.ndim > 1 or self.vectors else 1.0
        rate = rate if self.weight_decay or self.undecayed else 1.0
        self.inner.step(rate * (gradient + self.weight_decay * self.weight))
