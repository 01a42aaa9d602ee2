"""Sophia: momentum over a running estimate of the curvature, each weight's step bounded by lr.

    every hessian_interval steps:  h <- beta2 h + (1 - beta2) s * s        (s: gradient of a loss on sampled labels)
    m <- beta1 m + (1 - beta1) g
    p <- p * (1 - lr * weight_decay) - lr * clamp(m / (rho * num_tokens * h + 1e-15), -1, 1)

Liu et al., 2023, arXiv:2305.14342, alg. 3 with the Gauss-Newton-Bartlett estimator, in the form of the authors' code.
That estimator takes a backward pass of its own on labels drawn from the model, after which `update_hessian` is called
(`estimator: sampled`). A training run has no such pass: with `empirical`, the default, s is the step's own gradient,
which is the empirical Fisher matrix.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch

from swift_core.plugin_api import require_positive
from swift_optim_zoo._base import Group, State, ZooOptimizer, next_step, zeros_in
from swift_optim_zoo._checks import check_common, require_choice, require_integer
from swift_optim_zoo._chunks import by_chunks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

_SMALLEST_CURVATURE = 1e-15


def sophia_(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    hessian: Tensor,
    *,
    lr: float,
    beta1: float,
    scale: float,
    decay: float,
) -> None:
    """Apply one step in place to `param` and `exp_avg`; `scale` multiplies the curvature."""
    exp_avg.lerp_(grad, 1 - beta1)
    ratio = hessian.mul(scale).add_(_SMALLEST_CURVATURE).reciprocal_().mul_(exp_avg).clamp_(-1, 1)
    param.mul_(1 - lr * decay).add_(ratio, alpha=-lr)


class Sophia(ZooOptimizer):
    """Momentum scaled by curvature and clipped weight by weight (Sophia-G); two states per weight.

    Args:
        params: Parameters, named parameters, or groups.
        lr: Learning rate, >= 0: the largest move of a weight.
        betas: Decay of the momentum and of the curvature, each in [0, 1).
        rho: Factor of the curvature, > 0; the smaller, the more weights take the largest move.
        num_tokens: Labels in the mean of a step's loss, >= 1.
        hessian_interval: Steps between two estimates of the curvature, >= 1.
        estimator: `empirical` squares the step's own gradient; `sampled` leaves it to `update_hessian`.
        weight_decay: Decoupled weight decay, >= 0.

    Raises:
        ValueError: An option is out of its range.
    """

    works_on: ClassVar[str] = "elements"
    state_bytes: ClassVar[str] = "8 * size"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.965, 0.99),
        rho: float = 0.04,
        num_tokens: int = 5120,
        hessian_interval: int = 10,
        estimator: Literal["empirical", "sampled"] = "empirical",
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "rho": rho,
            "num_tokens": num_tokens,
            "hessian_interval": hessian_interval,
            "estimator": estimator,
            "weight_decay": weight_decay,
        }
        super().__init__(params, defaults)

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)
        require_positive(rho=options["rho"])
        require_integer(1, num_tokens=options["num_tokens"], hessian_interval=options["hessian_interval"])
        require_choice(("empirical", "sampled"), estimator=options["estimator"])

    @torch.no_grad()
    def update_hessian(self) -> None:
        """Take the gradients that are there now, of a loss on labels the model has drawn, into the curvature."""
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None and param.numel():
                    _add_curvature(self.dense_grad(param), self.state[param], group)

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        step = next_step(state)
        if group["estimator"] == "empirical" and (step - 1) % group["hessian_interval"] == 0:
            _add_curvature(grad, state, group)

        def move(param: Tensor, piece: Tensor, exp_avg: Tensor, hessian: Tensor) -> None:
            sophia_(
                param,
                piece,
                exp_avg,
                hessian,
                lr=float(group["lr"]),
                beta1=group["betas"][0],
                scale=group["rho"] * group["num_tokens"],
                decay=group["weight_decay"],
            )

        by_chunks(move, weights, grad, zeros_in(state, "exp_avg", grad), zeros_in(state, "hessian", grad))


def _add_curvature(grad: Tensor, state: State, group: Group) -> None:
    beta2 = group["betas"][1]
    zeros_in(state, "hessian", grad).mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
