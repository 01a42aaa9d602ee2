"""SOAP (arXiv:2409.11321, alg. 3), slow and plain, in float64 NumPy, for square matrices of full rank.

Signs of eigenvectors cancel; a null space would leave the basis to chance.
"""

from __future__ import annotations

import numpy as np


class SoapReference:
    """The state of one matrix."""

    def __init__(self, weight, *, lr, betas, shampoo_beta, eps, weight_decay, precondition_frequency):
        """Start from `weight`."""
        self.weight, self.lr, self.betas, self.eps, self.weight_decay = weight, lr, betas, eps, weight_decay
        self.shampoo_beta, self.frequency = shampoo_beta or betas[1], precondition_frequency
        self.moves = -1
        self.first = self.second = 0.0
        self.grams = [np.zeros((side, side)) for side in weight.shape]

    def step(self, gradient):
        """Apply one gradient."""
        self.moves += 1
        if self.moves:
            self.move(gradient)
        for k, side in enumerate((gradient, gradient.T)):
            self.grams[k] = self.shampoo_beta * self.grams[k] + (1 - self.shampoo_beta) * side @ side.T
        if self.moves == 0:
            self.bases = [np.linalg.eigh(gram)[1][:, ::-1] for gram in self.grams]
        elif self.moves % self.frequency == 0:
            self.turn()

    def move(self, gradient):
        """Take Adam's step in the eigenbasis."""
        (beta1, beta2), (left, right) = self.betas, self.bases
        self.first = beta1 * self.first + (1 - beta1) * gradient
        self.second = beta2 * self.second + (1 - beta2) * (left.T @ gradient @ right) ** 2
        direction = left @ ((left.T @ self.first @ right) / (np.sqrt(self.second) + self.eps)) @ right.T
        size = self.lr * np.sqrt(1 - beta2**self.moves) / (1 - beta1**self.moves)
        self.weight = (self.weight - size * direction) * (1 - self.lr * self.weight_decay)

    def turn(self):
        """Take one step of the power method."""
        for k in range(2):
            energies = np.diag(self.bases[k].T @ self.grams[k] @ self.bases[k])
            order = np.argsort(-energies)
            self.bases[k] = np.linalg.qr(self.grams[k] @ self.bases[k][:, order])[0]
            self.second = np.take(self.second, order, axis=k)
