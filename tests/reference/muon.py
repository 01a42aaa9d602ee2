"""Muon (Jordan et al., 2024; scale of arXiv:2502.16982, eq. 4), slow and plain, in float64 NumPy."""

from __future__ import annotations

import numpy as np


def newton_schulz(matrix, num_steps):
    """Apply 3.4445 s - 4.7750 s^3 + 2.0315 s^5 `num_steps` times to the singular values s of matrix / |matrix|."""
    left, singular, right = np.linalg.svd(matrix / np.sqrt((matrix**2).sum()), full_matrices=False)
    for _ in range(num_steps):
        singular = 3.4445 * singular - 4.7750 * singular**3 + 2.0315 * singular**5
    return left @ np.diag(singular) @ right


class MuonReference:
    """The state of one matrix."""

    def __init__(self, weight, *, lr, momentum, nesterov, ns_steps, adjust_lr_fn, weight_decay):
        """Start from `weight`."""
        self.weight, self.lr, self.momentum, self.nesterov = weight, lr, momentum, nesterov
        self.ns_steps, self.weight_decay = ns_steps, weight_decay
        rows, columns = weight.shape
        scales = {"match_rms_adamw": 0.2 * np.sqrt(max(rows, columns)), "original": np.sqrt(max(1, rows / columns))}
        self.scale = scales[adjust_lr_fn]
        self.buffer = np.zeros_like(weight)

    def step(self, gradient):
        """Apply one gradient."""
        self.buffer = self.momentum * self.buffer + (1 - self.momentum) * gradient
        ahead = (1 - self.momentum) * gradient + self.momentum * self.buffer
        update = newton_schulz(ahead if self.nesterov else self.buffer, self.ns_steps)
        self.weight = self.weight - self.lr * (self.weight_decay * self.weight + self.scale * update)
