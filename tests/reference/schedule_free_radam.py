"""Schedule-free RAdam (arXiv:2405.15682, alg. 1; arXiv:1908.03265, alg. 2), slow and plain, in float64 NumPy."""

from __future__ import annotations

import numpy as np
from tests.reference.schedule_free import ScheduleFreeAverage


class ScheduleFreeRAdamReference(ScheduleFreeAverage):
    """The state of one parameter; `weight` is y, `average` is x."""

    def __init__(self, weight, *, lr, betas, eps, weight_decay, r, weight_lr_power, silent_sgd_phase):
        """Start from `weight`."""
        super().__init__(weight, beta=betas[0], r=r, weight_lr_power=weight_lr_power)
        self.lr, self.beta2, self.eps, self.weight_decay = lr, betas[1], eps, weight_decay
        self.silent, self.second = silent_sgd_phase, np.zeros_like(weight)

    def step(self, gradient):
        """Apply one gradient, taken at y."""
        time = self.time + 1
        self.second = self.beta2 * self.second + (1 - self.beta2) * gradient**2
        of_all = 2 / (1 - self.beta2) - 1
        length = of_all - 2 * time * self.beta2**time / (1 - self.beta2**time)
        if length > 4:
            ratio = (length - 4) / (of_all - 4) * (length - 2) / (of_all - 2) * of_all / length
            lr, direction = self.lr * ratio**0.5, gradient / (np.sqrt(self.second / (1 - self.beta2**time)) + self.eps)
        else:
            lr, direction = 0.0 if self.silent else self.lr, gradient
        self.move(direction + self.weight_decay * self.weight, lr)
