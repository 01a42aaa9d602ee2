"""Fira (arXiv:2410.01623, alg. 1) and APOLLO (arXiv:2412.05270, alg. 1), slow and plain, in float64 NumPy.

Both scale the gradient, or a part of it, by what Adam does to a projection, and limit how fast its norm grows.
"""

from __future__ import annotations

import numpy as np
from tests.reference.galore_adamw import singular_basis


class ScaledReference:
    """The state of one matrix; a subclass draws `basis` and says what the update is."""

    def __init__(self, weight, *, lr, betas, eps, weight_decay, rank, gap, scale):
        """Start from `weight`."""
        self.weight, self.lr, self.betas, self.eps, self.weight_decay = weight, lr, betas, eps, weight_decay
        self.rank, self.gap, self.scale = rank, gap, scale
        self.side = "right" if weight.shape[0] >= weight.shape[1] else "left"
        self.axis = 1 if self.side == "right" else 0
        self.time, self.norm = 0, None
        self.first = self.second = 0.0

    def step(self, gradient):
        """Apply one gradient."""
        if self.time % self.gap == 0:
            self.renew(gradient)
        self.time += 1
        beta1, beta2 = self.betas
        low = gradient @ self.basis if self.side == "right" else self.basis.T @ gradient
        self.first = beta1 * self.first + (1 - beta1) * low
        self.second = beta2 * self.second + (1 - beta2) * low**2
        direction = self.first / (np.sqrt(self.second) + self.eps)
        size = self.lr * np.sqrt(1 - beta2**self.time) / (1 - beta1**self.time)
        self.weight = self.weight - size * self.update(gradient, low, direction)
        self.weight = self.weight - self.lr * self.weight_decay * self.weight

    def back(self, low):
        """Return a projected matrix in the whole space."""
        return low @ self.basis.T if self.side == "right" else self.basis @ low

    def limited(self, update):
        """Return `update` with its norm grown by at most 1 in 100."""
        norm = np.sqrt((update**2).sum())
        if self.norm is not None:
            limiter = max(norm / (self.norm + 1e-8), 1.01) / 1.01
            update, norm = update / limiter, norm / limiter
        self.norm = norm
        return update

    def channel_ratio(self, direction, low):
        """Return a ratio of norms for each row or column."""
        norms = [np.sqrt((array**2).sum(self.axis, keepdims=True)) for array in (direction, low)]
        return norms[0] / (norms[1] + 1e-8)


class FiraReference(ScaledReference):
    """Fira."""

    def renew(self, gradient):
        """Take the leading singular vectors."""
        self.basis = singular_basis(gradient, self.rank, self.side)

    def update(self, gradient, low, direction):
        """Add what is outside the projection to what is inside."""
        outside = (gradient - self.scale * self.back(low)) * self.channel_ratio(direction, low)
        return self.scale * self.back(direction) + self.limited(outside)


class ApolloReference(ScaledReference):
    """APOLLO, or APOLLO-Mini with `whole`; `draws` gives one Gaussian projection after another."""

    def __init__(self, weight, *, draws, whole, **options):
        """Start from `weight`."""
        super().__init__(weight, **options)
        self.draws, self.whole = draws, whole

    def renew(self, gradient):
        """Take the next projection."""
        self.basis = next(self.draws)

    def update(self, gradient, low, direction):
        """Scale the gradient itself."""
        whole = np.sqrt((direction**2).sum()) / (np.sqrt((low**2).sum()) + 1e-8)
        ratio = whole if self.whole else self.channel_ratio(direction, low)
        return np.sqrt(self.scale) * self.limited(gradient * ratio)
