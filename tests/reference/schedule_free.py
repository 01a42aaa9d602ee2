"""Schedule-free averaging (arXiv:2405.15682, alg. 1), slow and plain, in float64 NumPy: x, y and z are all kept."""

from __future__ import annotations


class ScheduleFreeAverage:
    """The three sequences of one parameter; `weight` is y, `average` is x."""

    def __init__(self, weight, *, beta, r, weight_lr_power):
        """Start from `weight`."""
        self.weight, self.average, self.z, self.beta = weight, weight, weight, beta
        self.r, self.weight_lr_power = r, weight_lr_power
        self.time, self.lr_max, self.sum_of_weights = 0, 0.0, 0.0

    def move(self, direction, lr):
        """Move z against a direction taken at y, and with it the average."""
        self.time += 1
        self.z = self.z - lr * direction
        self.lr_max = max(lr, self.lr_max)
        weight = self.time**self.r * self.lr_max**self.weight_lr_power
        self.sum_of_weights += weight
        share = weight / self.sum_of_weights if self.sum_of_weights else 0.0
        self.average = (1 - share) * self.average + share * self.z
        self.weight = (1 - self.beta) * self.z + self.beta * self.average
