"""AdEMAMix (arXiv:2409.03137, alg. 1), slow and plain, in float64 NumPy."""

from __future__ import annotations

import numpy as np


def half_life(beta):
    """Return after how many steps a running mean has forgotten half."""
    return np.log(0.5) / np.log(beta)


class AdEMAMixReference:
    """The state of one parameter."""

    def __init__(self, weight, *, lr, betas, beta3, alpha, alpha_warmup, beta3_warmup, eps, weight_decay):
        """Start from `weight`."""
        self.weight, self.lr, self.betas, self.beta3, self.alpha = weight, lr, betas, beta3, alpha
        self.alpha_warmup, self.beta3_warmup = alpha_warmup, beta3_warmup
        self.eps, self.weight_decay = eps, weight_decay
        self.time = 0
        self.fast, self.slow, self.second = (np.zeros_like(weight) for _ in range(3))

    def decay(self):
        """Return the slow mean's decay now: half-lives grow in a straight line."""
        share = min(self.time / self.beta3_warmup, 1.0) if self.beta3_warmup else 1.0
        start, end = half_life(self.betas[0]), half_life(self.beta3)
        return 0.5 ** (1 / (start + share * (end - start)))

    def step(self, gradient):
        """Apply one gradient."""
        self.time += 1
        (beta1, beta2), beta3 = self.betas, self.decay()
        alpha = self.alpha * (min(self.time / self.alpha_warmup, 1.0) if self.alpha_warmup else 1.0)
        self.fast = beta1 * self.fast + (1 - beta1) * gradient
        self.slow = beta3 * self.slow + (1 - beta3) * gradient
        self.second = beta2 * self.second + (1 - beta2) * gradient**2
        root = np.sqrt(self.second / (1 - beta2**self.time)) + self.eps
        update = (self.fast / (1 - beta1**self.time) + alpha * self.slow) / root
        self.weight = self.weight - self.lr * (update + self.weight_decay * self.weight)
