"""Prodigy: AdamW that finds its learning rate from how far the weights have come.

    beta3 = sqrt(beta2) if it is 0                 e = d * lr * (1, or Adam's bias correction)
    m <- beta1 m + (1 - beta1) d g                 v <- beta2 v + (1 - beta2) d^2 g^2
    s <- beta3 s + d/d0 * e g                      n <- beta3 n + d/d0 * e <g, p0 - p>     (over all parameters)
    h  = d_coef * n / |s|_1                        d <- min(max(d, h), d * growth_rate)    (over all parameters)
    p <- p * (1 - e * weight_decay) - e * m / (sqrt(v) + d eps)

Mishchenko and Defazio, 2023, arXiv:2306.06101, alg. 4, in the authors' form: e has the d of before the step. lr is a
factor of what is found: leave it at 1.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from swift_core.plugin_api import require_between, require_positive
from swift_optim_zoo._base import Group, ZooOptimizer, zeros_in
from swift_optim_zoo._checks import check_common, require_integer
from swift_optim_zoo._chunks import by_chunks

if TYPE_CHECKING:
    from collections.abc import Iterable

_logger = logging.getLogger(__name__)


class Prodigy(ZooOptimizer):
    """AdamW that finds its learning rate by itself (Prodigy); four states per weight.

    Args:
        params: Parameters, named parameters, or groups; groups have one lr, or 0.
        lr: Factor of the rate that is found, >= 0; leave it at 1 and let the schedule change it.
        betas: Decay of the first and second moment, each in [0, 1).
        beta3: Decay of the sums that the rate is found from, in [0, 1); 0 takes the root of beta2.
        eps: Term added to the root of the second moment, > 0.
        weight_decay: Decoupled weight decay, >= 0.
        use_bias_correction: Correct the moments as Adam does.
        safeguard_warmup: Leave lr out of the denominator of the rate; for a warm-up.
        d0: First guess of the rate, > 0.
        d_coef: Factor of the rate, > 0.
        growth_rate: Largest growth of the rate in one step, > 1; infinite by default.
        slice_p: Use every n-th weight to find the rate, >= 1; saves memory.

    Raises:
        ValueError: An option is out of its range, or two groups have different learning rates.
    """

    moves_parameters_alone: ClassVar[bool] = False
    state_bytes: ClassVar[str] = "8 * size + 8 * size / slice_p"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        beta3: float = 0.0,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        use_bias_correction: bool = False,
        safeguard_warmup: bool = False,
        d0: float = 1e-6,
        d_coef: float = 1.0,
        growth_rate: float = math.inf,
        slice_p: int = 1,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "beta3": beta3,
            "eps": eps,
            "weight_decay": weight_decay,
            "use_bias_correction": use_bias_correction,
            "safeguard_warmup": safeguard_warmup,
            "d0": d0,
            "d_coef": d_coef,
            "growth_rate": growth_rate,
            "slice_p": slice_p,
        }
        super().__init__(params, defaults)
        if 0 < float(lr) < 0.1:
            _logger.warning("prodigy: lr %g scales down the rate that is found; 1 is right for most runs", lr)

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)
        require_positive(eps=options["eps"], d0=options["d0"], d_coef=options["d_coef"])
        require_between(0.0, 1.0, beta3=options["beta3"])
        require_integer(1, slice_p=options["slice_p"])
        if not options["growth_rate"] > 1:
            raise ValueError(f"growth_rate must be > 1, got {options['growth_rate']}")

    def prepare(self, group: Group) -> None:
        """Give a new group the guess of the others."""
        first = self.param_groups[0]
        start = {"d": group["d0"], "d_max": group["d0"], "d_numerator": 0.0, "num_steps": 0}
        group.update({name: first.get(name, value) for name, value in start.items()})

    def step_groups(self) -> None:
        """Update all moments, then the rate, then the weights."""
        head = self.param_groups[0]
        lr = _common_rate(self.param_groups)
        size = head["d"] * lr * _correction(head)
        sums = [self._gather(param, group, size) for group, param in self._moving()]
        if not sums:
            return
        numerator, denominator = torch.stack([torch.stack(pair) for pair in sums]).sum(dim=0).tolist()
        if denominator == 0:  # all gradients are zero
            return
        numerator += head["d_numerator"] * _beta3(head)
        found = _grown(head, numerator / denominator)
        for group in self.param_groups:
            group.update(found, d_numerator=numerator, num_steps=group["num_steps"] + 1)
        for group, param in self._moving():
            self._move(param, group, size)

    def _moving(self) -> list[tuple[Group, Tensor]]:
        groups = [group for group in self.param_groups if float(group["lr"]) > 0]
        return [(group, param) for group in groups for param in group["params"] if param.grad is not None]

    def _gather(self, param: Tensor, group: Group, size: float) -> tuple[Tensor, Tensor]:
        """Update the moments of one parameter; return its terms of the rate's numerator and denominator."""
        grad = self.dense_grad(param)
        state, d, (beta1, beta2) = self.state[param], group["d"], group["betas"]
        weights = param.to(grad.dtype)
        some_grad, some_weights = (tensor.flatten()[:: group["slice_p"]] for tensor in (grad, weights))
        if "p0" not in state:
            state["p0"] = some_weights.clone()

        def average(g: Tensor, second: Tensor, *first: Tensor) -> None:
            second.mul_(beta2).addcmul_(g, g, value=d * d * (1 - beta2))
            for mean in first:
                mean.lerp_(g * d, 1 - beta1)

        first = [zeros_in(state, "exp_avg", weights)] if beta1 else []
        by_chunks(average, grad, zeros_in(state, "exp_avg_sq", weights), *first)
        relative = d / group["d0"]
        added = relative * (d if group["safeguard_warmup"] else size)
        come, sizes = [], []

        def measure(g: Tensor, weights: Tensor, start: Tensor, sums: Tensor) -> None:
            come.append(torch.dot(g, start - weights))
            sizes.append(sums.mul_(_beta3(group)).add_(g, alpha=added).norm(1))

        by_chunks(measure, some_grad, some_weights, state["p0"], zeros_in(state, "s", some_weights))
        return torch.stack(come).double().sum() * (relative * size), torch.stack(sizes).double().sum()

    def _move(self, param: Tensor, group: Group, size: float) -> None:
        """Move one parameter by the moments of this step."""
        grad = self.dense_grad(param)
        state, d = self.state[param], group["d"]
        weights = param.to(grad.dtype)

        def move(piece: Tensor, first: Tensor, second: Tensor) -> None:
            denominator = second.sqrt().add_(d * group["eps"])
            if group["weight_decay"]:
                piece.mul_(1 - size * group["weight_decay"])
            piece.addcdiv_(first, denominator, value=-size)

        by_chunks(move, weights, state["exp_avg"] if "exp_avg" in state else grad * d, state["exp_avg_sq"])
        if weights is not param:
            param.copy_(weights)


def _common_rate(groups: list[Group]) -> float:
    rates = {float(group["lr"]) for group in groups} - {0.0}
    if len(rates) > 1:
        raise ValueError(f"prodigy takes one lr for all groups, or 0, got {', '.join(map(str, sorted(rates)))}")
    return rates.pop() if rates else 0.0


def _correction(group: Group) -> float:
    (beta1, beta2), step = group["betas"], group["num_steps"] + 1
    return math.sqrt(1 - beta2**step) / (1 - beta1**step) if group["use_bias_correction"] else 1.0


def _beta3(group: Group) -> float:
    return float(group["beta3"] or math.sqrt(group["betas"][1]))


def _grown(group: Group, ratio: float) -> dict[str, float]:
    """Return the new rate and its ceiling; while it is the first guess it may jump."""
    guess, d = group["d_coef"] * ratio, group["d"]
    ceiling = max(group["d_max"], guess)
    jumped = max(d, guess) if d == group["d0"] else d
    return {"d": min(ceiling, jumped * group["growth_rate"]), "d_max": ceiling}
