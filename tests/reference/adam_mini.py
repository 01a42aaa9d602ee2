"""Adam-mini (arXiv:2406.16793, alg. 1), slow and plain, in float64 NumPy; `blocks` lists the indices of each block."""

from __future__ import annotations

import numpy as np


class AdamMiniReference:
    """The state of one parameter."""

    def __init__(self, weight, *, blocks, lr, betas, eps, weight_decay):
        """Start from `weight`; blocks are lists of positions in the flattened weight."""
        self.weight, self.blocks, self.lr, self.betas = weight, blocks, lr, betas
        self.eps, self.weight_decay = eps, weight_decay
        self.time = 0
        self.first = np.zeros_like(weight)
        self.second = np.zeros(len(blocks))

    def step(self, gradient):
        """Apply one gradient."""
        self.time += 1
        beta1, beta2 = self.betas
        self.first = beta1 * self.first + (1 - beta1) * gradient
        new = (self.weight - self.lr * self.weight_decay * self.weight).flatten()
        for number, block in enumerate(self.blocks):
            mean = (gradient.flatten()[block] ** 2).mean()
            self.second[number] = beta2 * self.second[number] + (1 - beta2) * mean
            root = np.sqrt(self.second[number] / (1 - beta2**self.time)) + self.eps
            new[block] -= self.lr * self.first.flatten()[block] / (1 - beta1**self.time) / root
        self.weight = new.reshape(self.weight.shape)
