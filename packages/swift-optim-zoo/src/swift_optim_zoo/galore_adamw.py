"""GaLore with AdamW: Adam's moments live in a low-rank projection of the gradient, refreshed every so often.

    every update_proj_gap steps:  Q = leading singular vectors of G
    R  = G Q                                   (or Q^T G, whichever is smaller)
    M <- beta1 M + (1 - beta1) R
    V <- beta2 V + (1 - beta2) R * R
    N  = M / (sqrt(V) + eps) * sqrt(1 - beta2^t) / (1 - beta1^t)
    p <- (p - lr * scale * N Q^T) * (1 - lr * weight_decay)

Zhao et al., 2024, arXiv:2403.03507, alg. 2; eps and decay stand where the authors' code has them. Parameters that are
not projected (embeddings, output head, norms, biases) take the same step with Q = identity and scale = 1.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any, Literal, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

from swift_core.plugin_api import require_between, require_nonnegative, require_positive
from swift_optim_zoo._projector import ProjType, Side, add_back_, exact_basis, project, projected_side, warm_basis
from swift_optim_zoo._targets import is_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_logger = logging.getLogger(__name__)

_CHOICES = {"proj_type": ("std", "reverse_std", "right", "left"), "refresh": ("exact", "subspace")}


def adam_direction_(
    grad: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, *, step: int, betas: tuple[float, float], eps: float
) -> Tensor:
    """Update both moments in place with `grad` and return Adam's bias-corrected direction; `step` counts from 1."""
    beta1, beta2 = betas
    exp_avg.lerp_(grad, 1 - beta1)
    exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    correction = math.sqrt(1 - beta2**step) / (1 - beta1**step)
    return exp_avg_sq.sqrt().add_(eps).reciprocal_().mul_(exp_avg).mul_(correction)


class GaLoreAdamW(Optimizer):
    """AdamW whose states are kept in a low-rank projection of the gradient (GaLore).

    A parameter group may override any option but the patterns. The state holds tensors only.

    Args:
        params: Parameters, named parameters, or groups; a group's `param_names` are what the patterns are matched with.
        lr: Learning rate, >= 0; projected matrices move by `lr * scale`.
        betas: Decay of the first and second moment, each in [0, 1).
        eps: Term added to the root of the second moment, >= 0.
        weight_decay: Decoupled weight decay, >= 0.
        rank: Rank of the projection, >= 1; a matrix with a shorter side takes plain AdamW.
        update_proj_gap: Steps between two refreshes of a projection, >= 1.
        scale: Factor of the projected update, > 0.
        proj_type: Which side is projected: `std` the shorter one, `reverse_std` the longer one, else always this one.
        refresh: `exact` is a full SVD; `subspace` starts from the old basis and is many times cheaper.
        target_modules: Names of what is projected; a glob over the whole name, or a part of it.
        exclude_modules: Names of what is not projected although `target_modules` names it.

    Raises:
        ValueError: An option is out of its range.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        rank: int = 128,
        update_proj_gap: int = 200,
        scale: float = 0.25,
        proj_type: Literal["std", "reverse_std", "right", "left"] = "std",
        refresh: Literal["exact", "subspace"] = "exact",
        target_modules: tuple[str, ...] = ("*",),
        exclude_modules: tuple[str, ...] = ("embed", "lm_head", "wte", "wpe", "norm"),
    ) -> None:
        require_nonnegative(lr=lr, eps=eps, weight_decay=weight_decay)
        require_positive(rank=rank, update_proj_gap=update_proj_gap, scale=scale)
        defaults = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "rank": rank,
            "update_proj_gap": update_proj_gap,
            "scale": scale,
            "proj_type": proj_type,
            "refresh": refresh,
            "target_modules": list(target_modules),
            "exclude_modules": list(exclude_modules),
        }
        _check(defaults)
        super().__init__(params, defaults)
        self._report_fallback()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group and decide for each of its parameters whether it is projected, and on which side."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        _check(group)
        group["sides"] = _sides(group)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # a state saved by another AdamW lacks our options
            for name, value in self.defaults.items():
                group.setdefault(name, value)
            group.setdefault("sides", _sides(group))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a saved state, keeping the width of its tensors (torch would cast them to the parameter's type).

        Raises:
            ValueError: A saved moment has another shape than this optimizer's; rank, side or targets differ.
        """
        super().load_state_dict(state_dict)
        saved_ids = [index for group in state_dict["param_groups"] for index in group["params"]]
        params = [
            (p, side, group)
            for group in self.param_groups
            for p, side in zip(group["params"], group["sides"], strict=True)
        ]
        for index, (param, side, group) in zip(saved_ids, params, strict=True):
            saved = state_dict["state"].get(index, {})
            if "exp_avg" in saved:
                _check_shape(tuple(saved["exp_avg"].shape), _moment_shape(param, side, group["rank"]))
            for key, value in saved.items():
                device = "cpu" if key == "step" else param.device
                self.state[param][key] = value.detach().to(device, copy=True)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step; return what `closure` returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for param, side in zip(group["params"], group["sides"], strict=True):
                if param.grad is not None:
                    self._step_param(param, side, group)
        return loss

    def _step_param(self, param: Tensor, side: Side | None, group: dict[str, Any]) -> None:
        """Move one parameter."""
        if param.grad is None or param.grad.is_sparse:
            raise ValueError("galore_adamw cannot take sparse gradients: set sparse=False in the embedding")
        grad = param.grad.to(_state_dtype(param))
        state = self.state[param]
        decay = 1 - float(group["lr"]) * group["weight_decay"]
        if side is not None and not _refresh(state, grad, side, group):
            return
        if side is not None and "basis" not in state:  # a gradient of zeros says nothing about directions yet
            param.mul_(decay)
            return
        low_rank = grad if side is None else project(grad, state["basis"], side)
        if "exp_avg" not in state:
            state.setdefault("step", torch.tensor(0.0))
            state["exp_avg"] = torch.zeros_like(low_rank, memory_format=torch.preserve_format)
            state["exp_avg_sq"] = torch.zeros_like(low_rank, memory_format=torch.preserve_format)
        state["step"] += 1
        direction = adam_direction_(
            low_rank,
            state["exp_avg"],
            state["exp_avg_sq"],
            step=int(state["step"]),
            betas=group["betas"],
            eps=group["eps"],
        )
        _apply_(param, direction, state.get("basis"), side, group, decay)

    def _report_fallback(self) -> None:
        """Say in the log when no parameter is projected: the run is then plain AdamW."""
        matrices = [p for group in self.param_groups for p in group["params"] if p.dim() == 2]
        if matrices and not any(side for group in self.param_groups for side in group["sides"]):
            shorter = max(min(p.shape) for p in matrices)
            _logger.warning(
                "galore_adamw projects no parameter: of %d matrices none is chosen by its name and at least rank %d on "
                "its shorter side (the largest is %d); all take plain AdamW",
                len(matrices),
                self.defaults["rank"],
                shorter,
            )


def _check(options: dict[str, Any]) -> None:
    """Raise ValueError for an option out of its range."""
    require_nonnegative(lr=float(options["lr"]), eps=options["eps"], weight_decay=options["weight_decay"])
    beta1, beta2 = options["betas"]
    require_between(0.0, 1.0, beta1=beta1, beta2=beta2)
    require_positive(scale=options["scale"])
    for name in ("rank", "update_proj_gap"):
        if isinstance(options[name], bool) or not isinstance(options[name], int) or options[name] < 1:
            raise ValueError(f"{name} must be an integer >= 1, got {options[name]}")
    for name, choices in _CHOICES.items():
        if options[name] not in choices:
            raise ValueError(f"{name} must be one of {', '.join(choices)}, got {options[name]}")


def _sides(group: dict[str, Any]) -> list[Side | None]:
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


def _moment_shape(param: Tensor, side: Side | None, rank: int) -> tuple[int, ...]:
    """Return the shape of the moments of `param`."""
    if side is None:
        return tuple(param.shape)
    rows, columns = param.shape
    return (rows, rank) if side == "right" else (rank, columns)


def _check_shape(saved: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Raise ValueError when a saved moment does not fit."""
    if saved != expected:
        raise ValueError(
            f"the saved optimizer state does not fit: a moment is {list(saved)}, this run needs {list(expected)}; "
            "rank, proj_type and target_modules must be those of the run that saved it"
        )


def _state_dtype(param: Tensor) -> torch.dtype:
    """Return the type of the states and of the arithmetic: at least float32."""
    return torch.promote_types(param.dtype, torch.float32)


def _refresh(state: dict[str, Any], grad: Tensor, side: Side, group: dict[str, Any]) -> bool:
    """Renew the basis when it is due; return False when the gradient is not finite and the step must be left out.

    A refresh that meets NaN or infinity is put off to the next step: no count moves. Zeros leave the basis as it is.
    """
    if int(state.get("step", 0)) % group["update_proj_gap"] and "basis" in state:
        return True
    if not bool(grad.isfinite().all()):
        _logger.warning(
            "galore_adamw: gradient of a %s matrix is not finite at a refresh; step left out", list(grad.shape)
        )
        return False
    if not bool(grad.any()):
        return True
    if group["refresh"] == "subspace" and "basis" in state:
        state["basis"] = warm_basis(grad, state["basis"], side)
    else:
        state["basis"] = exact_basis(grad, group["rank"], side)
    return True


def _apply_(
    param: Tensor, direction: Tensor, basis: Tensor | None, side: Side | None, group: dict[str, Any], decay: float
) -> None:
    """Move `param` against `direction` and decay it, in place; a narrow parameter is rounded once."""
    wide = param if param.dtype == direction.dtype else param.to(direction.dtype)
    alpha = -float(group["lr"]) * decay
    if side is None or basis is None:
        wide.mul_(decay).add_(direction, alpha=alpha)
    else:
        add_back_(wide, direction, basis, side, alpha=alpha * group["scale"], decay=decay)
    if wide is not param:
        param.copy_(wide)
