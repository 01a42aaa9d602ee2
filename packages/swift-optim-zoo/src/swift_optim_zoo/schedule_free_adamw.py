"""Schedule-free AdamW: an average of the iterates in place of a falling learning rate.

    y  = (1 - beta1) z + beta1 x                       gradients are taken at y: what the weights are in training
    v <- beta2 v + (1 - beta2) g^2
    u  = g / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay * y
    z <- z - lr * u
    x <- (1 - c) x + c z,   c = w_t / (w_1 + ... + w_t),   w_t = t^r * lr_max^weight_lr_power
    lr is that of the group times min(1, t / warmup_steps)

Defazio et al., 2024, arXiv:2405.15682, alg. 1 in the authors' form. `eval()` puts x into the weights, which is what to
evaluate and to keep; `train()` puts y back. Trainers call both. Only z and v are kept.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from swift_core.plugin_api import require_nonnegative
from swift_optim_zoo._base import Group, State, ZooOptimizer, zeros_in
from swift_optim_zoo._checks import check_common, require_integer
from swift_optim_zoo._chunks import by_chunks

if TYPE_CHECKING:
    from collections.abc import Iterable


def schedule_free_(
    y: Tensor,
    grad: Tensor,
    z: Tensor,
    exp_avg_sq: Tensor,
    *,
    step: int,
    lr: float,
    share: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
) -> None:
    """Apply one step in place to `y`, `z` and the second moment without forming x; `share` is c, `step` is from 1."""
    beta1, beta2 = betas
    exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    direction = exp_avg_sq.sqrt().div_(math.sqrt(1 - beta2**step)).add_(eps).reciprocal_().mul_(grad)
    direction.add_(y, alpha=weight_decay)
    y.lerp_(z, share).add_(direction, alpha=lr * (beta1 * (1 - share) - 1))
    z.sub_(direction, alpha=lr)


class ScheduleFreeAdamW(ZooOptimizer):
    """AdamW that averages its iterates and needs no schedule (schedule-free).

    Use it with a constant schedule, with or without warm-up.

    Args:
        params: Parameters, named parameters, or groups.
        lr: Learning rate, >= 0; 1 to 10 times AdamW's.
        betas: Share of the average in the point where gradients are taken, in (0, 1), and decay of the second moment.
        eps: Term added to the root of the second moment, >= 0.
        weight_decay: Weight decay at y, >= 0; part of the step of z.
        r: Power of the step in the weights of the average, >= 0.
        weight_lr_power: Power of the largest learning rate so far in these weights, >= 0.
        warmup_steps: Steps over which the learning rate grows in a straight line, the first one's share is not 0; 0 for
            none.

    Raises:
        ValueError: An option is out of its range.
    """

    works_on: ClassVar[str] = "elements"
    puts_weights: ClassVar[bool] = True
    moves_parameters_alone: ClassVar[bool] = False
    state_bytes: ClassVar[str] = "8 * size"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 2.5e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        r: float = 0.0,
        weight_lr_power: float = 2.0,
        warmup_steps: int = 0,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "r": r,
            "weight_lr_power": weight_lr_power,
            "warmup_steps": warmup_steps,
        }
        super().__init__(params, defaults)

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)
        require_nonnegative(r=options["r"], weight_lr_power=options["weight_lr_power"])
        require_integer(0, warmup_steps=options["warmup_steps"])
        if options["betas"][0] == 0:
            raise ValueError(f"beta1 must be > 0, got {options['betas'][0]}")

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
            beta1 = group["betas"][0]
            changed = [p for p in group["params"] if "z" in self.state.get(p, {})]
            for param in changed if group["train_mode"] != train_mode else []:
                z = self.state[param]["z"]
                param.copy_(param.to(z.dtype).lerp(z, 1 - beta1 if train_mode else 1 - 1 / beta1))
            group["train_mode"] = train_mode

    def step_groups(self) -> None:
        """Move every parameter that has a gradient; raise RuntimeError where the weights are the average."""
        if not all(group["train_mode"] for group in self.param_groups):
            raise RuntimeError("schedule_free_adamw: step() after eval(); call train() of the optimizer first")
        for group in self.param_groups:
            _advance(group)
        super().step_groups()

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        if "z" not in state:
            state["z"] = weights.clone(memory_format=torch.preserve_format)
        step = partial(
            schedule_free_,
            step=group["num_steps"],
            lr=group["scheduled_lr"],
            share=group["share"],
            betas=group["betas"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
        )
        by_chunks(step, weights, grad, state["z"], zeros_in(state, "exp_avg_sq", weights))


def _advance(group: Group) -> None:
    """Count a step of the group, set its learning rate and the share of its z in the average."""
    group["num_steps"] += 1
    warmed_up = min(1.0, group["num_steps"] / group["warmup_steps"]) if group["warmup_steps"] else 1.0
    group["scheduled_lr"] = float(group["lr"]) * warmed_up
    group["lr_max"] = max(group["lr_max"], group["scheduled_lr"])
    weight = group["num_steps"] ** group["r"] * group["lr_max"] ** group["weight_lr_power"]
    group["weight_sum"] += weight
    group["share"] = weight / group["weight_sum"] if group["weight_sum"] else 0.0
