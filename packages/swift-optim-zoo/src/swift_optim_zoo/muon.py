"""Muon: momentum whose matrix is made orthogonal; AdamW for what is not a matrix.

    m <- momentum m + (1 - momentum) g
    u  = (1 - momentum) g + momentum m                 (Nesterov; else m)
    X  = u / |u|,  then ns_steps times  X <- a X + (b A + c A A) X,  A = X X^T      (transposed where rows > columns)
    p <- p * (1 - lr * weight_decay) - lr * k * X
    k  = 0.2 sqrt(max(rows, columns))                  (match_rms_adamw; original: sqrt(max(1, rows / columns)))

with (a, b, c) = ns_coefficients. Jordan et al., 2024, "Muon"; match_rms_adamw, with which AdamW's learning
rate and decay fit both kinds of parameters: Liu et al., 2025, arXiv:2502.16982, eq. 4. Matrices move as under
torch.optim.Muon; embeddings, output head, norms, biases and tensors of other dimensions as under torch.optim.AdamW.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from torch import Tensor

from swift_core.plugin_api import require_between
from swift_optim_zoo._adam import adamw_
from swift_optim_zoo._base import Group, State, ZooOptimizer, next_step, zeros_in
from swift_optim_zoo._checks import check_common, require_choice, require_integer
from swift_optim_zoo._targets import is_target

if TYPE_CHECKING:
    from collections.abc import Iterable

Coefficients = tuple[float, float, float]

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_SMALLEST_NORM = 1e-7


def orthogonalized(matrix: Tensor, *, num_steps: int, coefficients: Coefficients = _COEFFICIENTS) -> Tensor:
    """Return `matrix` [rows, columns] with its singular values brought near 1 by a quintic Newton-Schulz iteration."""
    a, b, c = coefficients
    is_tall = matrix.shape[0] > matrix.shape[1]
    result = matrix.T if is_tall else matrix
    result = result / result.norm().clamp(min=_SMALLEST_NORM)
    for _ in range(num_steps):
        gram = result @ result.T
        result = torch.addmm(result, torch.addmm(gram, gram, gram, beta=b, alpha=c), result, beta=a)
    return result.T if is_tall else result


def step_scale(shape: torch.Size, adjust_lr: str) -> float:
    """Return the factor of the learning rate for a matrix of `shape`."""
    rows, columns = shape
    return 0.2 * math.sqrt(max(rows, columns)) if adjust_lr == "match_rms_adamw" else math.sqrt(max(1, rows / columns))


class Muon(ZooOptimizer):
    """Orthogonalized momentum for matrices, AdamW for the rest (Muon); one state per weight of a matrix.

    Args:
        params: Parameters, named parameters, or groups; a group's `param_names` are what the patterns are matched with.
        lr: Learning rate, >= 0, of both halves.
        momentum: Decay of the momentum of matrices, in [0, 1).
        nesterov: Look ahead along the momentum.
        ns_steps: Newton-Schulz iterations, 1 to 99.
        ns_coefficients: The iteration's a, b and c.
        ns_dtype: Type of the iteration: `bfloat16` as in torch, or `state` for that of the states (float32).
        adjust_lr_fn: Factor of a matrix's step: `match_rms_adamw` as long as AdamW's, or `original`.
        weight_decay: Decoupled weight decay, >= 0.
        betas: Decay of AdamW's moments, each in [0, 1).
        eps: Term added to the root of AdamW's second moment, >= 0.
        target_modules: Names of matrices that take Muon; a glob over the whole name, or a part of it.
        exclude_modules: Names of matrices that take AdamW although `target_modules` names them.

    Raises:
        ValueError: An option is out of its range.
    """

    works_on: ClassVar[str] = "matrices"
    state_bytes: ClassVar[str] = "8 * size"
    matrix_state_bytes: ClassVar[str] = "4 * size"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        ns_coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        ns_dtype: Literal["bfloat16", "state"] = "bfloat16",
        adjust_lr_fn: Literal["match_rms_adamw", "original"] = "match_rms_adamw",
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        target_modules: tuple[str, ...] = ("*",),
        exclude_modules: tuple[str, ...] = ("embed", "lm_head", "wte", "wpe", "norm"),
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_steps": ns_steps,
            "ns_coefficients": tuple(ns_coefficients),
            "ns_dtype": ns_dtype,
            "adjust_lr_fn": adjust_lr_fn,
            "weight_decay": weight_decay,
            "betas": tuple(betas),
            "eps": eps,
            "target_modules": list(target_modules),
            "exclude_modules": list(exclude_modules),
        }
        super().__init__(params, defaults)

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)
        require_between(0.0, 1.0, momentum=options["momentum"])
        require_integer(1, ns_steps=options["ns_steps"])
        require_between(1, 100, ns_steps=options["ns_steps"])
        coefficients = tuple(options["ns_coefficients"])
        if len(coefficients) != 3 or not all(map(math.isfinite, coefficients)):
            raise ValueError(f"ns_coefficients must be three numbers, got {list(coefficients)}")
        require_choice(("bfloat16", "state"), ns_dtype=options["ns_dtype"])
        require_choice(("match_rms_adamw", "original"), adjust_lr_fn=options["adjust_lr_fn"])

    def prepare(self, group: Group) -> None:
        """Decide for each parameter of the group whether it takes Muon."""
        names = group.get("param_names") or [""] * len(group["params"])
        include, exclude = group["target_modules"], group["exclude_modules"]
        sized = zip(names, group["params"], strict=True)
        group["is_matrix"] = [is_target(name, p, rank=1, include=include, exclude=exclude) for name, p in sized]

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        if group["is_matrix"][index]:
            _matrix_step(weights, grad, state, group)
            return
        adamw_(
            weights,
            grad,
            zeros_in(state, "exp_avg", weights),
            zeros_in(state, "exp_avg_sq", weights),
            step=next_step(state),
            lr=float(group["lr"]),
            betas=group["betas"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
        )


def _matrix_step(weights: Tensor, grad: Tensor, state: State, group: Group) -> None:
    lr, momentum = float(group["lr"]), group["momentum"]
    buffer = zeros_in(state, "momentum_buffer", weights).lerp_(grad, 1 - momentum)
    direction = grad.lerp(buffer, momentum) if group["nesterov"] else buffer
    dtype = torch.bfloat16 if group["ns_dtype"] == "bfloat16" else weights.dtype
    coefficients = group["ns_coefficients"]
    update = orthogonalized(direction.to(dtype), num_steps=group["ns_steps"], coefficients=coefficients)
    weights.mul_(1 - lr * group["weight_decay"])
    weights.add_(update.to(weights.dtype), alpha=-lr * step_scale(weights.shape, group["adjust_lr_fn"]))
