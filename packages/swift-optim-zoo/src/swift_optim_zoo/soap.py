"""SOAP: Adam in the eigenbasis of Shampoo's two matrices.

    first step:  L = (1 - s) G G^T,  R = (1 - s) G^T G,  QL, QR = their eigenvectors; nothing moves
    later:       g  = QL^T G QR                                          (the gradient in the eigenbasis)
                 M <- beta1 M + (1 - beta1) G
                 V <- beta2 V + (1 - beta2) g * g
                 N  = QL ((QL^T M QR) / (sqrt(V) + eps)) QR^T            (normalize_grads: over its root mean square)
                 p <- (p - lr * sqrt(1 - beta2^t) / (1 - beta1^t) * N) * (1 - lr * weight_decay)
                 L <- s L + (1 - s) G G^T,  R <- s R + (1 - s) G^T G
    every precondition_frequency steps, then:  Q <- QR(L Q), columns in the order of falling energy, V with them

Vyas et al., 2024, arXiv:2409.11321, alg. 3, in the authors' form; s is shampoo_beta and t counts moves. A side longer
than max_precondition_dim has no matrix; vectors have one with precondition_1d, and otherwise take the same step with
Q = identity. A tensor of more dimensions has one for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch

from swift_core.plugin_api import require_between
from swift_optim_zoo._adam import adam_correction
from swift_optim_zoo._base import Group, State, ZooOptimizer, next_step, zeros_in
from swift_optim_zoo._checks import check_common, require_integer
from swift_optim_zoo._factored import root_mean_square

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

_TINY = 1e-30


def rotated(tensor: Tensor, bases: Sequence[Tensor | None], *, back: bool = False) -> Tensor:
    """Return `tensor` in the coordinates of `bases`, one for each dimension, or out of them; None is the identity."""
    for basis in bases:  # each turn puts the first dimension last
        if basis is None:
            tensor = tensor.movedim(0, -1)
        else:
            tensor = torch.tensordot(tensor, basis, dims=([0], [1 if back else 0]))
    return tensor


def gram(tensor: Tensor, dim: int) -> Tensor:
    """Return the products of the slices of `tensor` along `dim` with one another, [length, length]."""
    slices = tensor.movedim(dim, 0).reshape(tensor.shape[dim], -1)
    return slices @ slices.T


def eigenbasis(matrix: Tensor) -> Tensor:
    """Return the eigenvectors of a symmetric matrix as columns, the largest eigenvalue first."""
    vectors: Tensor = torch.linalg.eigh(matrix)[1]
    return vectors.flip(1).contiguous()


def turned_basis(matrix: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Return `basis` after one power step of `matrix`, and the order its columns were put in: by falling energy."""
    image = matrix @ basis
    order = (basis * image).sum(dim=0).argsort(descending=True)
    return torch.linalg.qr(image[:, order])[0], order


class Soap(ZooOptimizer):
    """Adam in Shampoo's eigenbasis (SOAP); matrices keep up to six states' worth of memory.

    Args:
        params: Parameters, named parameters, or groups.
        lr: Learning rate, >= 0.
        betas: Decay of the first and second moment, each in [0, 1).
        shampoo_beta: Decay of the two matrices, in [0, 1); 0 takes beta2.
        eps: Term added to the root of the second moment, >= 0.
        weight_decay: Decoupled weight decay, >= 0.
        precondition_frequency: Steps between two turns of the eigenbasis, >= 1.
        max_precondition_dim: Longest side that has a matrix, >= 1.
        precondition_1d: Give vectors a matrix too.
        normalize_grads: Divide a direction by its root mean square.
        correct_bias: Correct the moments as Adam does.

    Raises:
        ValueError: An option is out of its range.
    """

    works_on: ClassVar[str] = "matrices"
    state_bytes: ClassVar[str] = (
        "8 * size + ((8 * size * size if size <= max_precondition_dim else 0) if precondition_1d else 0)"
    )
    matrix_state_bytes: ClassVar[str] = (
        "8 * size + (8 * rows * rows if rows <= max_precondition_dim else 0)"
        " + (8 * columns * columns if columns <= max_precondition_dim else 0)"
    )

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 3e-3,
        betas: tuple[float, float] = (0.95, 0.95),
        shampoo_beta: float = 0.0,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        precondition_frequency: int = 10,
        max_precondition_dim: int = 10000,
        precondition_1d: bool = False,
        normalize_grads: bool = False,
        correct_bias: bool = True,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "shampoo_beta": shampoo_beta,
            "eps": eps,
            "weight_decay": weight_decay,
            "precondition_frequency": precondition_frequency,
            "max_precondition_dim": max_precondition_dim,
            "precondition_1d": precondition_1d,
            "normalize_grads": normalize_grads,
            "correct_bias": correct_bias,
        }
        super().__init__(params, defaults)

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)
        require_between(0.0, 1.0, shampoo_beta=options["shampoo_beta"])
        require_integer(1, precondition_frequency=options["precondition_frequency"])
        require_integer(1, max_precondition_dim=options["max_precondition_dim"])

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter; its first step only measures."""
        num_moves = next_step(state) - 1
        tensor = grad if grad.dim() else grad.reshape(1)
        if num_moves:
            direction = _direction(tensor, state, group)
            decay = 1 - float(group["lr"]) * group["weight_decay"]
            size = float(group["lr"])
            if group["correct_bias"]:
                size *= adam_correction(num_moves, group["betas"])
            weights.mul_(decay).add_(direction.reshape(weights.shape), alpha=-size * decay)
        dims = _preconditioned(tensor, group)
        for dim in dims:
            product = gram(tensor, dim)
            zeros_in(state, f"gram_{dim}", product).lerp_(product, 1 - (group["shampoo_beta"] or group["betas"][1]))
        _turn(state, dims, num_moves, group["precondition_frequency"])


def _preconditioned(tensor: Tensor, group: Group) -> list[int]:
    """Return the dimensions that have a matrix."""
    if tensor.dim() == 1 and not group["precondition_1d"]:
        return []
    return [dim for dim, length in enumerate(tensor.shape) if length <= group["max_precondition_dim"]]


def _direction(tensor: Tensor, state: State, group: Group) -> Tensor:
    """Update both moments and return Adam's uncorrected direction, rotated back."""
    beta1, beta2 = group["betas"]
    bases = [state.get(f"basis_{dim}") for dim in range(tensor.dim())]
    seen = rotated(tensor, bases)
    first = zeros_in(state, "exp_avg", tensor).lerp_(tensor, 1 - beta1)
    second = zeros_in(state, "exp_avg_sq", tensor).mul_(beta2).addcmul_(seen, seen, value=1 - beta2)
    direction = rotated(rotated(first, bases) / second.sqrt().add_(group["eps"]), bases, back=True)
    return direction / (root_mean_square(direction) + _TINY) if group["normalize_grads"] else direction


def _turn(state: State, dims: Sequence[int], num_moves: int, frequency: int) -> None:
    """Find the eigenbases at first, and turn them when it is due."""
    for dim in dims:
        matrix = state[f"gram_{dim}"]
        if num_moves == 0:
            state[f"basis_{dim}"] = eigenbasis(matrix)
        elif num_moves % frequency == 0:
            state[f"basis_{dim}"], order = turned_basis(matrix, state[f"basis_{dim}"])
            state["exp_avg_sq"] = state["exp_avg_sq"].index_select(dim, order)
