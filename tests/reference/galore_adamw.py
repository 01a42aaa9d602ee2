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


def nearest(basis, old):
    """Turn `basis` within its span so that it lies nearest to `old` (orthogonal Procrustes)."""
    left, _, right = np.linalg.svd(basis.T @ old)
    return basis @ left @ right


class GaLoreReference:
    """The state of one matrix."""

    def __init__(self, weight, *, lr, betas, eps, weight_decay, rank, gap, scale, side, moments="keep"):
        """Start from `weight`; side None is plain AdamW."""
        self.weight = np.array(weight, dtype=np.float64)
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.rank, self.gap, self.scale, self.side, self.moments = rank, gap, scale, side, moments
        self.step_index = self.moment_index = 0
        self.first = self.second = 0.0
        identity = np.eye(self.weight.shape[0]) if weight.ndim == 2 else None
        self.left, self.right = identity, np.eye(self.weight.shape[-1]) if weight.ndim == 2 else None

    def renew(self, gradient):
        """Take new bases, and do with the moments what the policy says."""
        old_left, old_right = self.left, self.right
        is_first = self.step_index == 0
        if self.side != "right":
            self.left = singular_basis(gradient, self.rank, "left")
        if self.side != "left":
            self.right = singular_basis(gradient, self.rank, "right")
        if is_first:
            return
        if self.moments == "align":
            self.left = nearest(self.left, old_left) if self.side != "right" else old_left
            self.right = nearest(self.right, old_right) if self.side != "left" else old_right
        if self.moments == "rotate":
            turn_left, turn_right = old_left.T @ self.left, old_right.T @ self.right
            self.first = turn_left.T @ self.first @ turn_right
            self.second = (turn_left**2).T @ self.second @ turn_right**2
        if self.moments == "reset":
            self.first, self.second, self.moment_index = 0 * self.first, 0 * self.second, 0

    def step(self, gradient):
        """Apply one gradient."""
        gradient = np.array(gradient, dtype=np.float64)
        if self.side and self.step_index % self.gap == 0:
            self.renew(gradient)
        low = self.left.T @ gradient @ self.right if self.side else gradient
        self.step_index += 1
        self.moment_index += 1
        beta1, beta2 = self.betas
        self.first = beta1 * self.first + (1 - beta1) * low
        self.second = beta2 * self.second + (1 - beta2) * low**2
        step_size = self.lr * np.sqrt(1 - beta2**self.moment_index) / (1 - beta1**self.moment_index)
        update = self.first / (np.sqrt(self.second) + self.eps)
        if self.side:
            update = self.scale * (self.left @ update @ self.right.T)
        self.weight = self.weight - step_size * update
        self.weight = self.weight - self.lr * self.weight_decay * self.weight
