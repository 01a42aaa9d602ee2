"""GaLore with AdamW as its authors run it (arXiv:2403.03507, alg. 2), slow and plain, in float64 NumPy.

One matrix, one call a step. Signs of singular vectors are fixed (largest entry positive): a trajectory is unique.
"""

from __future__ import annotations

import numpy as np


def singular_basis(gradient, rank, side):
    """Columns: the leading right (or left) singular vectors."""
    left, _, right = np.linalg.svd(gradient, full_matrices=False)
    basis = (right.T if side == "right" else left)[:, :rank].copy()
    for column in range(basis.shape[1]):
        if basis[np.argmax(np.abs(basis[:, column])), column] < 0:
            basis[:, column] *= -1
    return basis


class GaLoreReference:
    """The state of one matrix."""

    def __init__(self, weight, *, lr, betas, eps, weight_decay, rank, gap, scale, side):
        """Start from `weight`; side None is plain AdamW."""
        self.weight = np.array(weight, dtype=np.float64)
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.rank, self.gap, self.scale, self.side = rank, gap, scale, side
        self.step_index = 0
        self.first = self.second = 0.0

    def step(self, gradient):
        """Apply one gradient."""
        gradient = np.array(gradient, dtype=np.float64)
        if self.side and self.step_index % self.gap == 0:
            self.basis = singular_basis(gradient, self.rank, self.side)
        low = gradient
        if self.side == "right":
            low = gradient @ self.basis
        if self.side == "left":
            low = self.basis.T @ gradient
        self.step_index += 1
        beta1, beta2 = self.betas
        self.first = beta1 * self.first + (1 - beta1) * low
        self.second = beta2 * self.second + (1 - beta2) * low**2
        step_size = self.lr * np.sqrt(1 - beta2**self.step_index) / (1 - beta1**self.step_index)
        update = self.first / (np.sqrt(self.second) + self.eps)
        if self.side == "right":
            update = self.scale * (update @ self.basis.T)
        if self.side == "left":
            update = self.scale * (self.basis @ update)
        self.weight = self.weight - step_size * update
        self.weight = self.weight - self.lr * self.weight_decay * self.weight
