"""Adafactor in native code: the second moment of a matrix as the product of a row and a column.

    r <- r + (mean over columns of g^2 - r) * t^decay         c in the same manner, over rows
    u  = g / sqrt(max(r c^T / mean(r), eps1^2))
    p <- p * (1 - lr * weight_decay) - alpha * u / max(1, rms(u) / threshold)

with alpha = max(eps2, rms(p)) * min(lr, 1 / sqrt(t)). Shazeer and Stern, 2018, arXiv:1804.04235, alg. 4 to 6, in the
form of `torch.optim.Adafactor`, with its state. A parameter of one dimension or none keeps its second moment whole.
"""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING, Any, ClassVar, overload

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT

from swift_native import _native
from swift_native._layout import in_order
from swift_native._refuse import check_grad, check_param, check_whole, label_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Adafactor(Optimizer):
    """Adafactor without first moment, for float32 parameters in host memory; almost no state.

    State dicts are those of `torch.optim.Adafactor` and can be exchanged with it.

    Args:
        params: Parameters, named parameters, or groups of them with options of their own.
        lr: Largest relative step, >= 0.
        beta2_decay: Exponent of the step's number in the share of a new gradient, <= 0.
        min_estimate: Least mean of the row factors, > 0; its square is the least second moment.
        min_scale: Least root mean square of a parameter that its steps are measured by, > 0.
        threshold: Root mean square above which a move is scaled down, > 0.
        weight_decay: Share of a weight, times lr, that each step removes, >= 0.
        maximize: Climb instead of descend.

    Raises:
        ValueError: An option is out of range, or a parameter is one that the kernels cannot take.
    """

    works_on: ClassVar[str] = "matrices"
    moves_parameters_alone: ClassVar[bool] = True
    state_bytes: ClassVar[str] = "4 * size"
    matrix_state_bytes: ClassVar[str] = "4 * (rows + columns)"

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float = 1e-2,
        beta2_decay: float = -0.8,
        min_estimate: float = 2.0**-23,
        min_scale: float = 1e-3,
        threshold: float = 1.0,
        weight_decay: float = 0.0,
        maximize: bool = False,
    ) -> None:
        # The groups have torch's names.
        options = {"lr": lr, "beta2_decay": beta2_decay, "eps": (min_estimate, min_scale), "d": threshold}
        super().__init__(params, {**options, "weight_decay": weight_decay, "maximize": maximize})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters; its options fall back on those of the optimizer.

        Raises:
            ValueError: An option or a parameter is refused; the optimizer is then as before.
        """
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            _check_options(group)
            for position, param in enumerate(group["params"]):
                _check_param(param, label_of(group, len(self.param_groups) - 1, position))
        except ValueError:
            self.param_groups.pop()
            raise

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every parameter that has a gradient; return what `closure` returned.

        Raises:
            ValueError: A parameter, gradient or state cannot be used; no parameter has changed then.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        rows, options = array("q"), array("d")
        moved: list[tuple[Tensor, Tensor, Tensor]] = []  # parameter, what the kernel updates, gradient
        for index, group in enumerate(self.param_groups):
            options.extend(_numbers(group))
            for position, param in enumerate(group["params"]):
                if param.grad is not None:
                    moved.append(self._add(rows, param, index, label_of(group, index, position)))
        _native.adafactor_step(rows, options, torch.get_num_threads())
        for param, dense, _ in moved:
            if dense.data_ptr() != param.data_ptr():
                param.copy_(dense)
        if moved:
            torch.autograd.graph.increment_version([param for param, _, _ in moved])
        return loss

    def _add(self, rows: array[int], param: Tensor, index: int, label: str) -> tuple[Tensor, Tensor, Tensor]:
        """Append the fields of AdafactorRow in cpp/driver/adafactor.hpp."""
        grad = param.grad
        assert grad is not None
        _check_param(param, label)
        check_grad(grad, param, label)
        strides = torch.empty(param.shape, device="meta").stride()
        dense, ordered = in_order(param.detach(), strides), in_order(grad.float(), strides)
        state = self.state[param]
        row_var, column_var = _ready(state, param, label)
        num_matrices, num_rows, num_columns = _sizes(param)
        row_address = 0 if row_var is None else row_var.data_ptr()
        rows.extend((dense.data_ptr(), ordered.data_ptr(), row_address, column_var.data_ptr()))
        rows.extend((state["step"].data_ptr(), num_matrices, num_rows, num_columns, index))
        return param, dense, ordered


def _sizes(param: Tensor) -> tuple[int, int, int]:
    """Return how many matrices a parameter holds, and their rows and columns; a vector is one row."""
    if param.ndim < 2:
        return 1, 1, param.numel()
    return math.prod(param.shape[:-2]), param.shape[-2], param.shape[-1]


def _ready(state: dict[str, Any], param: Tensor, label: str) -> tuple[Tensor | None, Tensor]:
    """Return the factors by row and by column, made of zeros where there are none."""
    step = state.get("step", 0.0)
    state["step"] = torch.as_tensor(step, dtype=torch.float32, device="cpu").reshape(())
    shapes: dict[str, tuple[int, ...]] = {"variance": tuple(param.shape)}
    if param.ndim >= 2:
        shapes = {"row_var": (*param.shape[:-1], 1), "col_var": (*param.shape[:-2], 1, param.shape[-1])}
    for name, shape in shapes.items():
        value = state.get(name)
        value = torch.zeros(shape) if value is None else value
        if value.shape != shape:
            shapes_seen = f"{tuple(value.shape)}, the parameter {tuple(param.shape)}"
            raise ValueError(f"the optimizer state of {label} is of another model: {name} has shape {shapes_seen}")
        state[name] = value.float().contiguous()
    if param.ndim >= 2:
        return state["row_var"], state["col_var"]
    return None, state["variance"]


def _numbers(group: Mapping[str, Any]) -> list[float]:
    """Return the fields of AdafactorOptions."""
    eps1, eps2 = group["eps"]
    eps1 = 2.0**-23 if eps1 is None else eps1  # torch's word for the spacing of float32
    values = (group["lr"], group["beta2_decay"], eps1, eps2, group["d"], group["weight_decay"], group["maximize"])
    return [float(value) for value in values]


def _check_options(group: Mapping[str, Any]) -> None:
    lr, beta2_decay, eps1, eps2, threshold, decay, _ = _numbers(group)
    for name, value in (("lr", lr), ("weight_decay", decay)):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be >= 0, got {value}")
    for name, value in (("min_estimate", eps1), ("min_scale", eps2), ("threshold", threshold)):
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be > 0, got {value}")
    if not -math.inf < beta2_decay <= 0:
        raise ValueError(f"beta2_decay must be <= 0, got {beta2_decay}")


def _check_param(param: Tensor, label: str) -> None:
    check_whole(param, label)
    check_param(param, label)
    if param.dtype is not torch.float32:
        raise ValueError(f"the native Adafactor cannot train {label}: it is {param.dtype}; its weights are float32")
