"""What the optimizers of this package share: the loop over parameters, what they refuse, and the types of states.

States are at least float32. A narrower parameter (bfloat16, float16) is widened for its step and rounded to the nearest
once at its end; there is no second copy of the weights. What is lost by this rounding is lost: moves below half a unit
in the last place of a bfloat16 weight do nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

from swift_optim_zoo._sharding import refuse_shards

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Group = dict[str, Any]
State = dict[str, Any]


class ZooOptimizer(Optimizer):
    """A `torch.optim.Optimizer` whose subclass says what one step does to one parameter.

    A subclass has `check_options` and `update`. Parameters without gradient are passed over and get no state. The state
    holds tensors only, so that a checkpoint loads with `weights_only=True`.

    Args:
        params: Parameters, named parameters, or groups.
        defaults: Options of every group that does not give its own.

    Raises:
        ValueError: An option is out of its range, or a parameter is complex.
    """

    moves_parameters_alone: ClassVar[bool] = True
    """Whether a parameter's step depends on its own gradient and state only: then it may come in the backward pass."""

    works_on: ClassVar[str] = "tensors"
    """What of a parameter a step must see (see `OptimizerFactory`); a subclass may do with less, or need more."""

    def __init__(self, params: Iterable[Any], defaults: Group) -> None:
        self.check_options(defaults)
        super().__init__(params, defaults)

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option of a group that is out of its range."""
        raise NotImplementedError

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move `weights` in place; `grad` has their type and must stay as it is.

        Args:
            weights: The parameter, or a float32 copy of a narrower one.
            grad: Its gradient, of the type of `weights`.
            state: What was kept of earlier steps; empty at first.
            group: The group's options.
            index: Position of the parameter in the group.
        """
        raise NotImplementedError

    def prepare(self, group: Group) -> None:
        """Add to a new group what follows from its options and parameters; it is saved with the group."""

    def add_param_group(self, param_group: Group) -> None:
        """Add a group and check its options."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        self.check_options(group)
        for param in group["params"]:
            if param.is_complex():
                raise ValueError(f"{type(self).__name__} cannot take complex parameters, got one of {param.dtype}")
        if self.works_on != "elements":
            refuse_shards(group["params"], type(self).__name__)
        self.prepare(group)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # a state saved by torch's own optimizer lacks our options
            for name, value in self.defaults.items():
                group.setdefault(name, value)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a saved state, keeping the width of its tensors (torch would cast them to the parameter's type)."""
        super().load_state_dict(state_dict)
        saved_ids = [index for group in state_dict["param_groups"] for index in group["params"]]
        params = [param for group in self.param_groups for param in group["params"]]
        for index, param in zip(saved_ids, params, strict=True):
            for key, value in state_dict["state"].get(index, {}).items():
                device = "cpu" if key == "step" else param.device
                self.state[param][key] = torch.as_tensor(value).detach().to(device, copy=True)

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
        self.step_groups()
        return loss

    def step_groups(self) -> None:
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            for index, param in enumerate(group["params"]):
                if param.grad is not None and param.numel():  # a shard of a parameter may be empty
                    self.step_param(param, group, index)

    @torch.no_grad()
    def step_param_alone(self, param: Tensor) -> None:
        """Move one parameter that has a gradient, and nothing else; for updates in the backward pass."""
        for group in self.param_groups:
            for index, own in enumerate(group["params"]):
                if own is param and param.numel():
                    self.step_param(param, group, index)

    def step_param(self, param: Tensor, group: Group, index: int) -> None:
        """Move one parameter."""
        grad = self.dense_grad(param)
        weights = param.to(grad.dtype)  # the parameter itself where it is wide enough
        self.update(weights, grad, self.state[param], group, index)
        if weights is not param:
            param.copy_(weights)

    def dense_grad(self, param: Tensor) -> Tensor:
        """Return the gradient of `param` in the type of its states; raise ValueError when it is sparse."""
        self.refuse_sparse(param)
        assert param.grad is not None
        return param.grad.to(torch.promote_types(param.dtype, torch.float32))

    def refuse_sparse(self, param: Tensor) -> None:
        """Raise ValueError when the gradient of `param` is sparse."""
        if param.grad is not None and param.grad.layout is not torch.strided:
            name = type(self).__name__
            raise ValueError(f"{name} cannot take sparse gradients: set sparse=False in the embedding")


def options_in(names: dict[str, Any]) -> Group:
    """Return the options among the local names of a constructor: what is neither the object nor its parameters."""
    return {name: value for name, value in names.items() if name not in ("self", "params", "__class__")}


def zeros_in(state: State, name: str, like: Tensor) -> Tensor:
    """Return the tensor `name` of `state`; where it is not there it starts from zeros, shaped and typed as `like`."""
    if name not in state:
        state[name] = torch.zeros_like(like, memory_format=torch.preserve_format)
    tensor: Tensor = state[name]
    return tensor


def next_step(state: State) -> int:
    """Count one more step in `state` and return its number, from 1."""
    if "step" not in state:
        state["step"] = torch.tensor(0.0)
    state["step"] += 1
    return int(state["step"])
