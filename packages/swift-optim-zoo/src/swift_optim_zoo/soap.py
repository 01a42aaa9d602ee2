"""SOAP: Adam in the eigenbasis of Shampoo's two matrices.

    first step:  L = (1 - s) G G^T,  R = (1 - s) G^T G,  QL, QR = their eigenvectors; nothing moves
    later:       g  = QL^T G QR                                          (the gradient in the eigenbasis)
                 M <- beta1 M + (1 - beta1) G
                 V <- beta2 V + (1 - beta2) g * g
                 N  = QL ((QL^T M QR) / (sqrt(V) + eps)) QR^T
                 p <- (p - lr * sqrt(1 - beta2^t) / (1 - beta1^t) * N) * (1 - lr * weight_decay)
                 L <- s L + (1 - s) G G^T,  R <- s R + (1 - s) G^T G
    every precondition_frequency steps, then:  Q <- QR(L Q), columns in the order of falling energy, V with them

Vyas et al., 2024, arXiv:2409.11321, alg. 3, in the authors' form; s is shampoo_beta and t counts moves. A side longer
than max_precondition_dim has no matrix. Vectors take the same step with Q = identity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch

from swift_core.plugin_api import require_between
from swift_optim_zoo._adam import adam_correction
from swift_optim_zoo._base import Group, State, ZooOptimizer, next_step, zeros_in
from swift_optim_zoo._checks import check_common, require_integer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

_SIDES = (("gram_left", "basis_left"), ("gram_right", "basis_right"))


def rotated(matrix: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
    """Return `left`^T `matrix` `right`; None is the identity."""
    result = matrix if left is None else left.T @ matrix
    return result if right is None else result @ right


def eigenbasis(gram: Tensor) -> Tensor:
    """Return the eigenvectors of a symmetric matrix as columns, the largest eigenvalue first."""
    vectors: Tensor = torch.linalg.eigh(gram)[1]
    return vectors.flip(1).contiguous()


def turned_basis(gram: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """Return `basis` after one power step of `gram`, and the order its columns were put in: by falling energy."""
    image = gram @ basis
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

    Raises:
        ValueError: An option is out of its range.
    """

    works_on: ClassVar[str] = "matrices"
    state_bytes: ClassVar[str] = "8 * size"
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
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "shampoo_beta": shampoo_beta,
            "eps": eps,
            "weight_decay": weight_decay,
            "precondition_frequency": precondition_frequency,
            "max_precondition_dim": max_precondition_dim,
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
        matrix = grad.reshape(grad.shape[0], -1) if grad.dim() >= 2 else grad.reshape(1, -1)
        if num_moves:
            direction = _direction(matrix, state, group)
            decay = 1 - float(group["lr"]) * group["weight_decay"]
            size = float(group["lr"]) * adam_correction(num_moves, group["betas"])
            weights.mul_(decay).add_(direction.reshape(weights.shape), alpha=-size * decay)
        if grad.dim() >= 2:
            _update_grams(matrix, state, group)
            _turn(state, group, num_moves)


def _direction(matrix: Tensor, state: State, group: Group) -> Tensor:
    """Update both moments and return Adam's uncorrected direction, rotated back."""
    beta1, beta2 = group["betas"]
    left, right = state.get("basis_left"), state.get("basis_right")
    seen = rotated(matrix, left, right)
    first = zeros_in(state, "exp_avg", matrix).lerp_(matrix, 1 - beta1)
    second = zeros_in(state, "exp_avg_sq", matrix).mul_(beta2).addcmul_(seen, seen, value=1 - beta2)
    direction = rotated(first, left, right) / second.sqrt().add_(group["eps"])
    return rotated(direction, None if left is None else left.T, None if right is None else right.T)


def _update_grams(matrix: Tensor, state: State, group: Group) -> None:
    share = 1 - (group["shampoo_beta"] or group["betas"][1])
    for (gram, _), side in zip(_SIDES, (matrix, matrix.T), strict=True):
        if side.shape[0] <= group["max_precondition_dim"]:
            if gram not in state:
                state[gram] = side.new_zeros(side.shape[0], side.shape[0])
            state[gram].lerp_(side @ side.T, share)


def _turn(state: State, group: Group, num_moves: int) -> None:
    """Find the eigenbasis at first, and turn it when it is due."""
    for dim, (gram, basis) in enumerate(_SIDES):
        if gram not in state:
            continue
        if num_moves == 0:
            state[basis] = eigenbasis(state[gram])
        elif num_moves % group["precondition_frequency"] == 0:
            state[basis], order = turned_basis(state[gram], state[basis])
            state["exp_avg_sq"] = state["exp_avg_sq"].index_select(dim, order)
