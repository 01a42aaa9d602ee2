"""GaLore's machinery: when a projection is renewed, how, and what becomes of the moments in it.

A subclass may say what is kept of the projected gradient; here Adam's moments. The state has, beside that:
`basis_left`, `basis_right` (those that are used), `refresh_at` (the step before which the projection is renewed),
`energy` (share of the gradient's squared norm that the projection held at its last refresh) and, with an adaptive gap,
`gap`, `leading` and `cosines`.
"""

from __future__ import annotations

import logging
import math
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from swift_core.plugin_api import require_between
from swift_optim_zoo._base import Group, State
from swift_optim_zoo._bases import random_basis
from swift_optim_zoo._checks import require_choice, require_integer
from swift_optim_zoo._low_rank import LowRankOptimizer, adam_step_, decay_factor, plain_step
from swift_optim_zoo._products import in_bfloat16
from swift_optim_zoo._projector import Projection, Side
from swift_optim_zoo._refresh import (
    FIRST_ROUND,
    adapted_gap,
    first_refreshes,
    matrices,
    new_basis,
    norm_of,
    starts_at_random,
)
from swift_optim_zoo._turn import Turn

_logger = logging.getLogger(__name__)


class Move(NamedTuple):
    """One step of one matrix."""

    weights: Tensor
    grad: Tensor
    low_rank: Tensor
    projection: Projection
    side: Side
    state: State
    group: Group


class GaLoreOptimizer(LowRankOptimizer):
    """Adam on projected gradients; a subclass that keeps something else has `direction_`, `plain`, `turn`, `forget`.

    A parameter group may override any option. The state holds tensors only.

    Args:
        lr: Learning rate, >= 0; projected matrices move by `lr * scale`.
        update_proj_gap: Steps between two refreshes of a projection, >= 1.
        proj_type: Which side is projected: `std` the shorter one, `reverse_std` the longer one, `full` both, else this.
        refresh: `subspace` starts from the old basis and is many times cheaper than `exact`, a full SVD.
        first_basis: `exact`, or `random` and found within 20 steps: then the first step costs like any other; `auto` is
            `random` for large matrices where refreshes are staggered, else `exact`.
        moments: At a refresh: `align` the new basis with the old one, `rotate` the moments, `reset`, or `keep` them.
        stagger: Spread the refreshes of all matrices over the gap, so that no step stalls.
        adaptive_gap: Lengthen the gap of a matrix whose leading direction stays (Q-GaLore).
        cos_threshold: Mean cosine of leading directions from which the gap grows, in [0, 1).
        gap_growth: Factor of a growing gap, > 1.
        gap_window: Number of cosines in the mean, >= 1.
    """

    gap_bytes: ClassVar[str] = "4 * basis_size / rank if adaptive_gap else 0"
    moment_size: ClassVar[str] = (
        "rank * rank if proj_type == 'full' else rank * rows if proj_type == 'right' else"
        " rank * columns if proj_type == 'left' else rank * (longer if proj_type == 'std' else shorter)"
    )
    basis_size: ClassVar[str] = (
        "rank * (rows + columns) if proj_type == 'full' else rank * columns if proj_type == 'right' else"
        " rank * rows if proj_type == 'left' else rank * (shorter if proj_type == 'std' else longer)"
    )

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        LowRankOptimizer.check_options(options)
        require_choice(("std", "reverse_std", "right", "left", "full"), proj_type=options["proj_type"])
        require_choice(("subspace", "exact"), refresh=options["refresh"])
        require_choice(("auto", "exact", "random"), first_basis=options["first_basis"])
        require_choice(("align", "rotate", "reset", "keep"), moments=options["moments"])
        require_choice(("auto", "float32", "bfloat16"), products=options["products"])
        require_between(0.0, 1.0, cos_threshold=options["cos_threshold"])
        require_integer(1, gap_window=options["gap_window"])
        if not math.isfinite(options["gap_growth"]) or options["gap_growth"] <= 1:
            raise ValueError(f"gap_growth must be > 1, got {options['gap_growth']}")

    def prepare(self, group: Group) -> None:
        """Choose what is projected, and spread the refreshes of the group over the steps of a gap."""
        super().prepare(group)
        group["first_refresh"] = list(first_refreshes(group))

    def direction_(self, low_rank: Tensor, state: State, group: Group) -> Tensor:
        """Update what is kept with a projected gradient, and make of it the direction to move in."""
        return adam_step_(low_rank, state, group)

    def plain(self, weights: Tensor, grad: Tensor, state: State, group: Group) -> None:
        """Move a parameter that is not projected."""
        plain_step(weights, grad, state, group)

    def turn(self, state: State, turn: Turn) -> None:
        """Express what is kept in new bases."""
        state["exp_avg"] = turn.mean(state["exp_avg"])
        state["exp_avg_sq"] = turn.square(state["exp_avg_sq"])

    def forget(self, state: State) -> None:
        """Set what is kept to zero; its bias correction starts again too."""
        state["exp_avg"].zero_()
        state["exp_avg_sq"].zero_()

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        side = group["sides"][index]
        if side is None:
            self.plain(weights, grad, state, group)
            return
        is_due = int(state.get("step", 0)) >= int(state.get("refresh_at", 0))
        norm = norm_of(grad) if is_due else 0.0
        if is_due and not self._renew(grad, norm, state, group, index):
            return
        projection, decay = self._projection(grad, state, group), decay_factor(group)
        if projection.left is None and projection.right is None:  # a gradient of zeros shows no direction yet
            weights.mul_(decay)
            return
        low_rank = projection.project(grad)
        if is_due:
            state["energy"] = torch.tensor((norm_of(low_rank) / (norm or 1.0)) ** 2)
        self.move(Move(weights, grad, low_rank, projection, side, state, group))

    def move(self, move: Move) -> None:
        """Take the step with what the projection shows of the gradient."""
        decay = decay_factor(move.group)
        direction = self.direction_(move.low_rank, move.state, move.group)
        size = float(move.group["lr"]) * decay * move.group["scale"]
        move.projection.add_back_(move.weights, direction, alpha=-size, decay=decay)

    def metrics(self) -> dict[str, float]:
        """Return means over projected matrices: `captured_energy` of the last refreshes, and `projection_gap`."""
        states = [state for state in self.state.values() if "energy" in state]
        means = {}
        if states:
            means["captured_energy"] = sum(float(state["energy"]) for state in states) / len(states)
        gaps = [float(state["gap"]) for state in states if "gap" in state]
        return means | ({"projection_gap": sum(gaps) / len(gaps)} if gaps else {})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a saved state; a state saved by another optimizer gets the schedule of refreshes it lacks."""
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            group.setdefault("first_refresh", list(first_refreshes(group)))

    def basis(self, state: State, name: str) -> Tensor | None:
        """Return the basis `name` that is kept in `state`, None where there is none."""
        return state.get(name)

    def keep_basis(self, state: State, name: str, basis: Tensor) -> None:
        """Keep a new basis in `state`."""
        state[name] = basis

    def _projection(self, grad: Tensor, state: State, group: Group) -> Projection:
        narrow = in_bfloat16(grad, group["products"])
        return Projection(
            self._basis_like(grad, state, "basis_left"), self._basis_like(grad, state, "basis_right"), narrow
        )

    def _basis_like(self, grad: Tensor, state: State, name: str) -> Tensor | None:
        basis = self.basis(state, name)
        return None if basis is None else basis.to(grad.dtype)

    def _renew(self, grad: Tensor, norm: float, state: State, group: Group, index: int) -> bool:
        """Renew the bases; return False when `grad` is not finite: the step is left out and nothing counted.

        Zeros leave the bases as they are and put the refresh off.
        """
        if not math.isfinite(norm):
            shape = list(grad.shape)
            _logger.warning("%s: gradient of a %s matrix is not finite at a refresh; step left out", self.label, shape)
            return False
        if norm:
            starts = "refresh_at" not in state and starts_at_random(group, grad)
            (self._draw if starts else self._follow)(grad, state, group, index)
        return True

    def _draw(self, grad: Tensor, state: State, group: Group, index: int) -> None:
        for number, (name, matrix) in enumerate(matrices(grad, group["sides"][index])):
            self.keep_basis(state, name, random_basis(matrix, group["rank"], 2 * index + number))
        state["refresh_at"] = torch.tensor(group["first_refresh"][index])

    def _follow(self, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Renew the bases by those that follow the old ones, or are the first of this gradient."""
        is_first, start = "refresh_at" not in state, group["first_refresh"][index]
        is_random = not is_first and starts_at_random(group, grad) and int(state["refresh_at"]) == start
        old = self._projection(grad, state, group)
        for number, (name, matrix) in enumerate(matrices(grad, group["sides"][index])):
            seed = 2 * index + number if is_random else None
            basis = new_basis(matrix, self._basis_like(grad, state, name), group, found_from=seed)
            self.keep_basis(state, name, basis)
        new = self._projection(grad, state, group)
        if not is_first:
            self._carry_over(old, new, state, group)
        gap = adapted_gap(grad, new, state, group) if group["adaptive_gap"] else group["update_proj_gap"]
        wait = start if is_first else min(gap, FIRST_ROUND) if is_random else gap
        state["refresh_at"] = torch.tensor(int(state.get("step", 0)) + wait)

    def _carry_over(self, old: Projection, new: Projection, state: State, group: Group) -> None:
        """Do with the moments what the option says; aligned bases have them as they are."""
        if group["moments"] == "rotate":
            self.turn(state, Turn(_product(old.left, new.left), _product(old.right, new.right)))
        if group["moments"] == "reset":
            self.forget(state)
            state["reset_at"] = state["step"].clone()


def _product(old: Tensor | None, new: Tensor | None) -> Tensor | None:
    return None if old is None or new is None else old.T @ new
