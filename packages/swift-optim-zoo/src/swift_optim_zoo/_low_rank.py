"""What the methods share that keep Adam's moments in a low-rank projection: GaLore, Fira, APOLLO."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.plugin_api import require_positive
from swift_optim_zoo._adam import adam_correction, adam_direction_, adamw_
from swift_optim_zoo._base import Group, State, ZooOptimizer, next_step, zeros_in
from swift_optim_zoo._checks import check_common, require_integer
from swift_optim_zoo._projector import ProjType, Side, projected_side
from swift_optim_zoo._targets import is_target

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

_logger = logging.getLogger(__name__)


class LowRankOptimizer(ZooOptimizer):
    """An optimizer that projects matrices chosen by name and shape, and takes AdamW for the rest.

    A group has these options and `proj_type`; it gets `sides`.

    Args:
        params: Parameters, named parameters, or groups; a group's `param_names` are what the patterns are matched with.
        lr: Learning rate, >= 0.
        betas: Decay of the first and second moment, each in [0, 1).
        eps: Term added to the root of the second moment, >= 0.
        weight_decay: Decoupled weight decay, >= 0.
        rank: Rank of the projection, >= 1; a matrix with a shorter side takes plain AdamW.
        update_proj_gap: Steps between two changes of a projection, >= 1.
        scale: Factor of the projected update, > 0.
        products: Type of products of large matrices; `auto` is bfloat16 on a CPU with AMX, else float32.
        target_modules: Names of what is projected; a glob over the whole name, or a part of it.
        exclude_modules: Names of what is not projected although `target_modules` names it.

    Raises:
        ValueError: An option is out of its range, or a parameter is sharded.
    """

    works_on: ClassVar[str] = "matrices"

    label = "low_rank"
    """Name in messages."""

    def __init__(self, params: Iterable[Any], defaults: Group) -> None:
        sequences = {"betas": tuple, "target_modules": list, "exclude_modules": list}
        made = {name: make(defaults[name]) for name, make in sequences.items() if name in defaults}
        super().__init__(params, defaults | made)
        self.report_form()

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)
        require_positive(rank=options["rank"], update_proj_gap=options["update_proj_gap"], scale=options["scale"])
        require_integer(1, rank=options["rank"], update_proj_gap=options["update_proj_gap"])

    def prepare(self, group: Group) -> None:
        """Decide for each parameter of the group whether it is projected, and on which side."""
        group["sides"] = sides(group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a saved state, keeping the width of its tensors.

        Raises:
            ValueError: A saved moment has another shape than this optimizer's; rank, side or targets differ.
        """
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            group.setdefault("sides", sides(group))  # a state saved by another AdamW lacks them
            for param, side in zip(group["params"], group["sides"], strict=True):
                self.check_saved(self.state.get(param, {}), moment_shape(param, side, group["rank"]))

    def check_saved(self, state: State, shape: tuple[int, ...]) -> None:
        """Raise ValueError when the moments in a saved `state` are not of `shape`."""
        if "exp_avg" in state:
            check_shape(tuple(state["exp_avg"].shape), shape)

    def report_form(self) -> None:
        """Say in the log when no parameter is projected: the run is then plain AdamW."""
        matrices = [p for group in self.param_groups for p in group["params"] if p.dim() == 2]
        if matrices and not any(side for group in self.param_groups for side in group["sides"]):
            _logger.warning(
                "%s projects no parameter: of %d matrices none is chosen by its name and at least rank %d",
                self.label,
                len(matrices),
                self.defaults["rank"],
            )


def sides(group: Group) -> list[Side | None]:
    """Return for each parameter of the group the side that is projected, None where plain AdamW is right."""
    names = group.get("param_names") or [""] * len(group["params"])
    proj_type: ProjType = group["proj_type"]
    include, exclude = group["target_modules"], group["exclude_modules"]
    return [
        projected_side(param.shape, proj_type)
        if is_target(name, param, rank=group["rank"], include=include, exclude=exclude)
        else None
        for name, param in zip(names, group["params"], strict=True)
    ]


def moment_shape(param: Tensor, side: Side | None, rank: int) -> tuple[int, ...]:
    """Return the shape of the moments of `param`."""
    if side is None:
        return tuple(param.shape)
    rows, columns = param.shape
    return (rank if side != "right" else rows, rank if side != "left" else columns)


def check_shape(saved: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Raise ValueError when a saved moment does not fit."""
    if saved != expected:
        raise ValueError(
            f"the saved optimizer state does not fit: a moment is {list(saved)}, this run needs {list(expected)}; "
            "rank, proj_type and target_modules must be those of the run that saved it"
        )


def adam_step_(low_rank: Tensor, state: State, group: Group) -> Tensor:
    """Update the moments in `state` with a projected gradient, and make of it the corrected direction."""
    exp_avg, exp_avg_sq = zeros_in(state, "exp_avg", low_rank), zeros_in(state, "exp_avg_sq", low_rank)
    step = next_step(state)
    if "reset_at" in state:
        step -= int(state["reset_at"])
    return adam_direction_(low_rank, exp_avg, exp_avg_sq, step=step, betas=group["betas"], eps=group["eps"])


def plain_step(weights: Tensor, grad: Tensor, state: State, group: Group) -> None:
    """Move a parameter that is not projected: by AdamW, decayed after its step, eps added before the correction."""
    step, (_, beta2) = next_step(state), group["betas"]
    decay = decay_factor(group)
    adamw_(
        weights,
        grad,
        zeros_in(state, "exp_avg", weights),
        zeros_in(state, "exp_avg_sq", weights),
        step=step,
        lr=float(group["lr"]) * decay,
        betas=group["betas"],
        eps=group["eps"] / (1 - beta2**step) ** 0.5,
        weight_decay=group["weight_decay"] / decay if decay else 0.0,
    )


def decay_factor(group: Group) -> float:
    """Return what decoupled decay leaves of a weight in one step."""
    return 1 - float(group["lr"]) * float(group["weight_decay"])


def limited_(update: Tensor, state: State, growth: float = 1.01) -> Tensor:
    """Scale `update` down in place so that its norm grows by at most `growth` a step; keep its norm in `state`.

    The norm-growth limiter of Fira: Chen et al., 2024, arXiv:2410.01623, eq. 8.
    """
    norm = update.norm()
    if "norm" in state:
        limiter = (norm / (state["norm"] + 1e-8)).clamp_(min=growth).div_(growth)
        update.div_(limiter)
        norm = norm / limiter
    state["norm"] = norm
    return update


def channel_norm(low_rank: Tensor, side: Side) -> Tensor:
    """Return the norm of each row on the right side, else of each column."""
    norm: Tensor = low_rank.norm(dim=1 if side == "right" else 0, keepdim=True)
    return norm


def correction(state: State, group: Group) -> float:
    """Return Adam's bias correction of the last step, which `adam_step_` has multiplied its direction with."""
    return adam_correction(int(state["step"]) - int(state.get("reset_at", 0)), group["betas"])
