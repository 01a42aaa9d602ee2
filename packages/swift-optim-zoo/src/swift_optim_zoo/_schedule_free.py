"""What the schedule-free optimizers share: three sequences of weights, of which two are kept.

    y  = (1 - beta) z + beta x                         gradients are taken at y: what the weights are in training
    z <- z - lr * u                                    u is the direction of the optimizer, its decay at y included
    x <- (1 - c) x + c z,   c = w_t / (w_1 + ... + w_t),   w_t = t^r * lr_max^weight_lr_power

Defazio et al., 2024, arXiv:2405.15682, alg. 1 in the authors' form. `eval()` puts x into the weights, which is what to
evaluate and to keep; `train()` puts y back. Trainers call both. x is never kept: y and z give it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch

from swift_core.plugin_api import require_nonnegative
from swift_optim_zoo._base import Group, State, ZooOptimizer
from swift_optim_zoo._checks import check_common

if TYPE_CHECKING:
    from torch import Tensor


def descend_(y: Tensor, z: Tensor, direction: Tensor, *, lr: float, share: float, beta: float) -> None:
    """Move `y` and `z` in place without forming x; `share` is c."""
    y.lerp_(z, share).add_(direction, alpha=lr * (beta * (1 - share) - 1))
    z.sub_(direction, alpha=lr)


def adam_direction(grad: Tensor, exp_avg_sq: Tensor, *, step: int, beta2: float, eps: float) -> Tensor:
    """Count `grad` into the second moment and return it over the moment's root; `step` is from 1."""
    exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    return exp_avg_sq.sqrt().div_(math.sqrt(1 - beta2**step)).add_(eps).reciprocal_().mul_(grad)


def check_average(options: Group) -> None:
    """Raise ValueError for an option out of range that all of them have."""
    check_common(options)
    require_nonnegative(r=options["r"], weight_lr_power=options["weight_lr_power"])


def refuse_zero(**values: float) -> None:
    """Raise ValueError where a share of the average in y is 0: x could not be found again from y and z."""
    for name, value in values.items():
        if value == 0:
            raise ValueError(f"{name} must be > 0, got {value}")


def warmed_up(group: Group) -> float:
    """Return the learning rate of a group's step: it grows in a straight line over `warmup_steps`, from step 1 on."""
    share = min(1.0, group["num_steps"] / group["warmup_steps"]) if group["warmup_steps"] else 1.0
    return float(group["lr"]) * share


def z_in(state: State, weights: Tensor) -> Tensor:
    """Return z; it starts where the weights are."""
    if "z" not in state:
        state["z"] = weights.clone(memory_format=torch.preserve_format)
    z: Tensor = state["z"]
    return z


class ScheduleFreeOptimizer(ZooOptimizer):
    """An optimizer that averages its iterates; a subclass has `label`, `beta`, `rate` and `update`.

    Args:
        r: Power of the step in the weights of the average, >= 0.
        weight_lr_power: Power of the largest learning rate so far in these weights, >= 0.
    """

    label: ClassVar[str]
    works_on: ClassVar[str] = "elements"
    puts_weights: ClassVar[bool] = True
    moves_parameters_alone: ClassVar[bool] = False

    def beta(self, group: Group) -> float:
        """Return the share of x in y."""
        raise NotImplementedError

    def rate(self, group: Group) -> float:
        """Return the learning rate of step `num_steps` of a group."""
        raise NotImplementedError

    def prepare(self, group: Group) -> None:
        """Start the average of a new group."""
        group.update(num_steps=0, scheduled_lr=0.0, lr_max=0.0, weight_sum=0.0, share=0.0, train_mode=True)

    def train(self) -> None:
        """Put y, where gradients are taken, into the weights; nothing happens where it is there."""
        self._switch(train_mode=True)

    def eval(self) -> None:
        """Put x, the average, into the weights; nothing happens where it is there."""
        self._switch(train_mode=False)

    @torch.no_grad()
    def _switch(self, *, train_mode: bool) -> None:
        for group in self.param_groups:
            beta = self.beta(group)
            changed = [p for p in group["params"] if "z" in self.state.get(p, {})]
            for param in changed if group["train_mode"] != train_mode else []:
                z = self.state[param]["z"]
                param.copy_(param.to(z.dtype).lerp(z, 1 - beta if train_mode else 1 - 1 / beta))
            group["train_mode"] = train_mode

    def step_groups(self) -> None:
        """Move every parameter that has a gradient; raise RuntimeError where the weights are the average."""
        if not all(group["train_mode"] for group in self.param_groups):
            raise RuntimeError(f"{self.label}: step() after eval(); call train() of the optimizer first")
        for group in self.param_groups:
            self._advance(group)
        super().step_groups()

    def _advance(self, group: Group) -> None:
        """Count a step of the group, set its learning rate and the share of its z in the average."""
        group["num_steps"] += 1
        group["scheduled_lr"] = self.rate(group)
        group["lr_max"] = max(group["lr_max"], group["scheduled_lr"])
        weight = group["num_steps"] ** group["r"] * group["lr_max"] ** group["weight_lr_power"]
        group["weight_sum"] += weight
        group["share"] = weight / group["weight_sum"] if group["weight_sum"] else 0.0
