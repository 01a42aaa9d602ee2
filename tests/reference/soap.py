"""SOAP (arXiv:2409.11321, alg. 3), slow and plain, in float64 NumPy, for tensors whose sides have full rank.

Signs of eigenvectors cancel; a null space would leave the basis to chance.
"""

from __future__ import annotations

import numpy as np


class SoapReference:
    """The state of one tensor."""

    def __init__(
        self,
        weight,
        *,
        lr,
        betas,
        shampoo_beta,
        eps,
        weight_decay,
        precondition_frequency,
        normalize_grads=False,
        correct_bias=True,
    ):
        """Start from `weight`."""
        self.weight, self.lr, self.betas, self.eps, self.weight_decay = weight, lr, betas, eps, weight_decay
        self.shampoo_beta, self.frequency = shampoo_beta or betas[1], precondition_frequency
        self.normalize_grads, self.correct_bias = normalize_grads, correct_bias
        self.moves = -1
        self.first = self.second = 0.0
        self.grams = [np.zeros((side, side)) for side in weight.shape]

    def step(self, gradient):
        """Apply one gradient."""
        self.moves += 1
        if self.moves:
            self.move(gradient)
        for k, length in enumerate(gradient.shape):
            side = np.moveaxis(gradient, k, 0).reshape(length, -1)
            self.grams[k] = self.shampoo_beta * self.grams[k] + (1 - self.shampoo_beta) * side @ side.T
        if self.moves == 0:
            self.bases = [np.linalg.eigh(gram)[1][:, ::-1] for gram in self.grams]
        elif self.moves % self.frequency == 0:
            self.turn()

    def move(self, gradient):
        """Take Adam's step in the eigenbasis."""
        beta1, beta2 = self.betas
        self.first = beta1 * self.first + (1 - beta1) * gradient
        self.second = beta2 * self.second + (1 - beta2) * self.seen(gradient) ** 2
        direction = self.seen(self.first) / (np.sqrt(self.second) + self.eps)
        for k, basis in enumerate(self.bases):
            direction = np.moveaxis(np.tensordot(basis, direction, (1, k)), 0, k)
        if self.normalize_grads:
            direction = direction / np.sqrt((direction**2).mean())
        size = self.lr
        if self.correct_bias:
            size = size * np.sqrt(1 - beta2**self.moves) / (1 - beta1**self.moves)
        self.weight = (self.weight - size * direction) * (1 - self.lr * self.weight_decay)

    def seen(self, tensor):
        """Return a tensor in the eigenbasis."""
        for k, basis in enumerate(self.bases):
            tensor = np.moveaxis(np.tensordot(basis.T, tensor, (1, k)), 0, k)
        return tensor

    def turn(self):
        """Take one step of the power method."""
        for k in range(len(self.bases)):
            energies = np.diag(self.bases[k].T @ self.grams[k] @ self.bases[k])
            order = np.argsort(-energies)
            self.bases[k] = np.linalg.qr(self.grams[k] @ self.bases[k][:, order])[0]
            self.second = np.take(self.second, order, axis=k)
