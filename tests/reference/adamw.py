"""AdamW as its paper has it, one element at a time in plain Python floats: slow and obvious."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass
class AdamWReference:
    """One scalar weight; Loshchilov and Hutter, 2019, arXiv:1711.05101, alg. 2."""

    weight: float
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 1e-2
    amsgrad: bool = False
    maximize: bool = False
    _first: float = 0.0
    _second: float = 0.0
    _largest: float = 0.0
    _num_steps: int = field(default=0)

    def step(self, grad: float) -> None:
        """Move the weight by one gradient."""
        beta1, beta2 = self.betas
        grad = -grad if self.maximize else grad
        self._num_steps += 1
        self.weight -= self.lr * self.weight_decay * self.weight
        self._first = beta1 * self._first + (1 - beta1) * grad
        self._second = beta2 * self._second + (1 - beta2) * grad**2
        self._largest = max(self._largest, self._second)
        first_hat = self._first / (1 - beta1**self._num_steps)
        second_hat = (self._largest if self.amsgrad else self._second) / (1 - beta2**self._num_steps)
        self.weight -= self.lr * first_hat / (math.sqrt(second_hat) + self.eps)
