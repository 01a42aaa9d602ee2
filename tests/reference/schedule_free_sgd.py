"""Schedule-free SGD (arXiv:2405.15682, eqs. 3 to 5), slow and plain, in float64 NumPy."""

from __future__ import annotations

from tests.reference.schedule_free import ScheduleFreeAverage


class ScheduleFreeSGDReference(ScheduleFreeAverage):
    """The state of one parameter; `weight` is y, `average` is x."""

    def __init__(self, weight, *, lr, momentum, weight_decay, r, weight_lr_power):
        """Start from `weight`."""
        super().__init__(weight, beta=momentum, r=r, weight_lr_power=weight_lr_power)
        self.lr, self.weight_decay = lr, weight_decay

    def step(self, gradient):
        """Apply one gradient, taken at y."""
        self.move(gradient + self.weight_decay * self.weight, self.lr)
