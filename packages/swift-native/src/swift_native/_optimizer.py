"""What the native optimizers share: groups, the plan of a step, loading of state dicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, overload

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT, StateDict

from swift_native import _native
from swift_native._alone import LonePlans
from swift_native._far import make_fars
from swift_native._formats import OFFLOADINGS, Offloading, options_of
from swift_native._loading import Loading
from swift_native._offload import Offload, norm_in_float32
from swift_native._refuse import (
    check_choice,
    check_clipping,
    check_copy,
    check_foreign_options,
    check_options,
    check_params,
    label_of,
    refuse_norm_of_parts,
)
from swift_native._rows import Rows
from swift_native.clip import grad_norm

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from swift_native._alone import Place


class NativeOptimizer(Optimizer):
    """An optimizer whose step is one native call over all parameters.

    The first step checks every tensor and keeps what it found as a plan; later steps compare the tensors with the plan
    and check again only when something has changed.
    """

    grad_scale: Tensor | float | None
    """What the gradients were multiplied by; a step divides them. `torch.amp.GradScaler` sets and removes it."""
    found_inf: Tensor | None
    """Not 0 if a step is to be skipped. `torch.amp.GradScaler` sets and removes it."""

    works_on: ClassVar[str] = "memory"
    moves_parameters_alone: ClassVar[bool] = True
    moment_bytes: ClassVar[str] = (
        "4 * size if moments == 'fp32' else 2 * size if moments == 'bf16' else size + ceil(size / 128)"
    )
    kahan_bytes: ClassVar[str] = "(2 * size if rounding == 'kahan' else 0) if width == 2 else 0"
    master_bytes: ClassVar[str] = "4 * size if offload == 'cpu' else 0"

    _step_supports_amp_scaling = True
    _rule: ClassVar[int]

    _plan: _native.Plan | None
    _lone_plans: LonePlans
    _formats: list[Any]
    _grad_norm: float | None
    _clip_factor: float
    _copies: dict[Tensor, Tensor]

    offload: Offloading
    """Where states and float32 weights are kept of parameters on another device."""

    def __init__(self, params: ParamsT, defaults: dict[str, Any], offload: Offloading = "none") -> None:
        check_options(defaults)
        check_choice("offload", offload, OFFLOADINGS)
        self.offload = offload
        self._forget()
        super().__init__(params, defaults)

    def state_names(self, group: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the keys of the states, in the order in which the kernel takes them."""
        raise NotImplementedError

    @property
    def grad_norm(self) -> float | None:
        """Global norm of the unscaled gradients of the last step, before clipping; None where it did not clip."""
        return self._grad_norm

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters; its options fall back on those of the optimizer.

        Raises:
            ValueError: An option or a parameter is refused; the optimizer is then as before.
        """
        super().add_param_group(param_group)
        index = len(self.param_groups) - 1
        group = self.param_groups[index]
        try:
            check_options(group)
            check_params(group, index, self.offload)
        except ValueError:
            self.param_groups.pop()
            raise

    def write_copies(self, copies: Mapping[Tensor, Tensor]) -> None:
        """Write the new weights in bfloat16 to other tensors too, in the pass that updates them.

        Args:
            copies: float32 parameter -> contiguous bfloat16 tensor of its shape. Takes the place of what was given
                before; not part of the state dict, and not taken along by a deep copy or a pickle.

        Raises:
            ValueError: A parameter is not one of this optimizer's, or a copy does not fit it.
        """
        if self.offload != "none":
            raise ValueError("offload writes the weights back to their device, and no copies of them")
        ours = {param for group in self.param_groups for param in group["params"]}
        for param, copy in copies.items():
            if param not in ours:
                raise ValueError("a copy is for a parameter that this optimizer does not have")
            check_copy(copy, param)
        self._copies = dict(copies)
        self._plan, self._lone_plans = None, LonePlans()

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update every parameter that has a gradient.

        Args:
            closure: Called first, with gradients enabled, to compute them again.

        Returns:
            What the closure returned, or None.

        Raises:
            ValueError: A parameter, gradient or state cannot be used; no parameter has changed then.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if not self._leaves_out():
            self._take_step()
        return loss

    @torch.no_grad()
    def clip_next_step(self, max_norm: float) -> Tensor:
        """Scale gradients inside the next step so that their global norm is at most `max_norm`; nothing is written now.

        Args:
            max_norm: Largest norm, > 0.

        Returns:
            The norm before clipping, a float32 scalar.

        Raises:
            ValueError: A gradient cannot be read, or a parameter is cut up among ranks.
        """
        params = [param for group in self.param_groups for param in group["params"]]
        refuse_norm_of_parts(params, f"clip_next_step({max_norm})")
        far = self.offload != "none"
        norm = norm_in_float32([param.grad for param in params if param.grad is not None]) if far else grad_norm(params)
        share = max_norm / (float(norm) + 1e-6)  # as torch's clip_grad_norm_
        self._clip_factor = 1.0 if share > 1 else share
        return norm

    @torch.no_grad()
    def step_param_alone(self, param: Tensor) -> None:
        """Move `param`, the only one that has a gradient, in the backward pass.

        Raises:
            ValueError: The optimizer is to clip by a global norm, which is not known before all gradients are; or
                `param` is not one of its parameters.
        """
        max_norm = float(self.param_groups[0].get("max_grad_norm", 0.0))
        if max_norm > 0:
            raise ValueError(
                f"max_grad_norm of the optimizer must be 0 when parameters move in the backward pass, got {max_norm}; "
                "train.max_grad_norm clips there too"
            )
        if self.offload != "none":
            self.step()
        elif param.grad is not None and not self._leaves_out():
            place = self._lone_plans.place_of(param, self.param_groups)
            plan, copies = self._lone_plan(param, place)
            self._move(plan, copies, self.param_groups[place.group : place.group + 1], self._grad_factor(), 0.0)

    def _leaves_out(self) -> bool:
        """Return whether `torch.amp.GradScaler` has found gradients that are not finite."""
        found_inf = getattr(self, "found_inf", None)
        return found_inf is not None and bool(found_inf.item())

    def _grad_factor(self) -> float:
        """Return what the gradients of this step are multiplied by."""
        scale = getattr(self, "grad_scale", None)
        factor = self._clip_factor * (1.0 if scale is None else 1.0 / float(scale))
        self._clip_factor = 1.0
        return factor

    def _take_step(self) -> None:
        max_norm = float(self.param_groups[0].get("max_grad_norm", 0.0))
        factor = self._grad_factor()
        if self.offload != "none":
            self._take_far_step(factor, max_norm)
        else:
            self._move(*self._current_plan(), self.param_groups, factor, max_norm)

    def _move(
        self,
        plan: _native.Plan,
        copies: Sequence[tuple[Tensor, Tensor]],
        groups: Sequence[Mapping[str, Any]],
        factor: float,
        max_norm: float,
    ) -> None:
        """Take the step of a plan whose rows belong to `groups`, and copy back what does not lie densely."""
        params = plan.params()
        norm = plan.step(options_of(groups), factor, max_norm, torch.get_num_threads())
        self._grad_norm = norm if max_norm > 0 else None
        for param, dense in copies:
            param.copy_(dense)
        if params:
            torch.autograd.graph.increment_version(params)

    def _take_far_step(self, factor: float, max_norm: float) -> None:
        check_clipping(self.param_groups)
        fars = make_fars(self.param_groups, self.state, self.state_names)
        self._grad_norm = float(norm_in_float32([far.grad for far in fars])) * factor if max_norm > 0 else None
        if self._grad_norm is not None:
            share = max_norm / (self._grad_norm + 1e-6)
            factor *= 1.0 if share > 1 else share  # a norm that is not a number stays one
        options, num_threads = options_of(self.param_groups), torch.get_num_threads()
        self._offload.step(fars, lambda rows: _native.take_step(self._rule, rows, options, factor, num_threads))

    def _current_plan(self) -> tuple[_native.Plan, list[tuple[Tensor, Tensor]]]:
        """Return the plan of this step, and parameters to be copied back after it."""
        formats = [self._format(group) for group in self.param_groups]
        if self._plan is not None and formats == self._formats and self._plan.matches(self.param_groups, self.state):
            return self._plan, []
        check_clipping(self.param_groups)
        rows = self._rows()
        plan = rows.plan(self._rule, self.state)
        self._plan, self._formats = (None if rows.copies else plan), formats
        return plan, rows.copies

    def _lone_plan(self, param: Tensor, place: Place) -> tuple[_native.Plan, list[tuple[Tensor, Tensor]]]:
        """Return the plan of a step of `param` alone, and what is to be copied back after it."""
        group = self.param_groups[place.group]
        formats = self._format(group)
        plan = self._lone_plans.find(param, formats, self.state[param])
        if plan is not None:
            return plan, []
        check_clipping(self.param_groups)
        rows = Rows(place.first)
        rows.add_group()
        self._add_row(rows, param, group, label_of(group, place.group, place.position))
        plan = rows.plan(self._rule, {param: self.state[param]})
        if not rows.copies:
            self._lone_plans.keep(param, formats, plan)
        return plan, rows.copies

    def _format(self, group: Mapping[str, Any]) -> tuple[str, str, tuple[str, ...]]:
        """Return what of a group decides how its rows look."""
        return group["moments"], group["rounding"], self.state_names(group)

    def _rows(self) -> Rows:
        rows = Rows()
        for index, group in enumerate(self.param_groups):
            rows.add_group()
            for position, param in enumerate(group["params"]):
                if param.grad is None:
                    rows.skip(param)
                else:
                    self._add_row(rows, param, group, label_of(group, index, position))
        return rows

    def _add_row(self, rows: Rows, param: Tensor, group: Mapping[str, Any], label: str) -> None:
        rows.add(param, self.state[param], group, self.state_names(group), self._copies.get(param), label)

    def _forget(self) -> None:
        """Drop all that is no part of the state."""
        self._plan = None
        self._lone_plans = LonePlans()
        self._formats = []
        self._grad_norm = None
        self._clip_factor = 1.0
        self._copies = getattr(self, "_copies", {})
        self._offload = Offload()

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle or a deep copy takes along."""
        return {**super().__getstate__(), "offload": self.offload}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a pickled or loaded state; options that older state dicts lack get their defaults."""
        super().__setstate__(state)
        self._forget()
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)
            check_options(group)
            check_foreign_options(group)

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Load a state dict of this class or of torch's optimizer of the same name.

        torch casts states to the dtype of their parameter; here they are taken as they were saved.

        Raises:
            ValueError: The groups do not match, or the state asks for what this optimizer does not do.
        """
        loading = Loading()
        handles = (
            self.register_load_state_dict_pre_hook(loading.take),
            self.register_load_state_dict_post_hook(loading.put, prepend=True),
        )
        try:
            super().load_state_dict(state_dict)
        finally:
            for handle in handles:
                handle.remove()
