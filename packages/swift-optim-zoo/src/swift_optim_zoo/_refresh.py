"""When GaLore renews its bases, and what the new ones are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from swift_optim_zoo import _bases
from swift_optim_zoo._low_rank import sides
from swift_optim_zoo._products import LARGE, in_bfloat16

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from swift_optim_zoo._base import Group, State
    from swift_optim_zoo._projector import Projection, Side

FIRST_ROUND = 20
"""Steps over which bases that started at random are found, and after which each is refreshed once more."""


def starts_at_random(group: Group, param: Tensor) -> bool:
    """Say whether the first basis of `param` is random, and found in the first round.

    `auto` finds that of a small matrix at once; and all of them where the run stalls anyway, because it asks for exact
    refreshes or for all at one step.
    """
    if group["first_basis"] == "auto":
        return bool(param.numel() >= LARGE and group["stagger"] and group["refresh"] == "subspace")
    return bool(group["first_basis"] == "random")


def first_refreshes(group: Group) -> Iterator[int]:
    """Yield for each parameter the step before which its first basis is renewed, evenly spread over a gap."""
    chosen = group["sides"] if "sides" in group else sides(group)
    total, number, gap = sum(side is not None for side in chosen), 0, group["update_proj_gap"]
    for side, param in zip(chosen, group["params"], strict=True):
        number += side is not None
        spread = min(gap, FIRST_ROUND) if starts_at_random(group, param) else gap
        yield math.ceil(spread * number / total) if side and group["stagger"] else gap


def matrices(grad: Tensor, side: Side) -> Iterator[tuple[str, Tensor]]:
    """Yield for each basis its name in the state, and the matrix whose leading right singular vectors it holds."""
    if side != "right":
        yield "basis_left", grad.T
    if side != "left":
        yield "basis_right", grad


def new_basis(matrix: Tensor, old: Tensor | None, group: Group, *, found_from: int | None = None) -> Tensor:
    """Return the basis that follows `old`, or the first one.

    What follows a random one is found from a sketch, drawn from the seed `found_from`.
    """
    rank, moments, narrow = group["rank"], group["moments"], in_bfloat16(matrix, group["products"])
    if group["refresh"] == "exact":
        basis = _bases.svd_basis(matrix, rank)
    elif old is None:
        return _bases.gram_basis(matrix, rank)
    else:
        near = old if found_from is None else _bases.sketch_basis(matrix, rank, found_from)
        near = _bases.subspace_basis(matrix, near, narrow=narrow)
        basis = _bases.ordered(near, matrix) if moments == "keep" else near
    return _bases.aligned(basis, old) if moments == "align" and old is not None else basis


def adapted_gap(grad: Tensor, projection: Projection, state: State, group: Group) -> int:
    """Return the gap until the next refresh: longer once the leading direction has stayed nearly the same.

    Q-GaLore's rule: when the mean cosine of the leading directions of successive refreshes, over a window, is at least
    the threshold, the gap grows. Zhang et al., 2024, arXiv:2407.08296, sec. 3.2. Signs, which an SVD leaves to chance,
    do not count here.
    """
    low_rank, basis = projection.project(grad), projection.right
    if basis is None:
        low_rank, basis = low_rank.T, projection.left
    assert basis is not None  # one factor is there
    leading = _bases.leading_direction(low_rank, basis)
    gap = int(state["gap"] if "gap" in state else group["update_proj_gap"])
    if "leading" in state:
        cosine = (leading @ state["leading"]).abs().reshape(1)
        state["cosines"] = torch.cat([state.get("cosines", cosine[:0]), cosine])[-group["gap_window"] :].clone()
        if len(state["cosines"]) == group["gap_window"] and float(state["cosines"].mean()) >= group["cos_threshold"]:
            gap = int(gap * group["gap_growth"])
    state["leading"], state["gap"] = leading, torch.tensor(gap)
    return gap


def norm_of(grad: Tensor) -> float:
    """Return the norm of `grad`: 0 only if all elements are, not finite only if one is not."""
    norm = float(grad.norm())
    if 0 < norm < math.inf:
        return norm
    largest = float(grad.abs().amax())  # squares may have left the range of the type
    return largest * float((grad / largest).norm()) if 0 < largest < math.inf else largest
