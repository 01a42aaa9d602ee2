"""AdamW with one pass over memory: every parameter of every group in one threaded C++ call.

    m <- beta1 * m + (1 - beta1) * g
    v <- beta2 * v + (1 - beta2) * g^2
    p <- p * (1 - lr * weight_decay) - lr * m_hat / (sqrt(v_hat) + eps)

with m_hat = m / (1 - beta1^t) and v_hat = v / (1 - beta2^t). Loshchilov and Hutter, 2019, arXiv:1711.05101, alg. 2.

The moments are float32. Parameters are float32 or bfloat16; a bfloat16 one is computed in float32 and rounded to
nearest once a step. Results do not depend on the number of threads, on the instruction set or on how parameters are
split into tensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import torch
from torch import Tensor
from torch.optim.optimizer import Optimizer, ParamsT, StateDict

from swift_native._batch import AdamWBatch
from swift_native._refuse import check_foreign_options, check_options, check_param
from swift_native._state import moment_names

if TYPE_CHECKING:
    from collections.abc import Callable


class AdamW(Optimizer):
    """Adam with decoupled weight decay, for parameters in host memory.

    State dicts are those of `torch.optim.AdamW` and can be exchanged with it. A parameter without a gradient is
    skipped. The work is shared by `torch.get_num_threads()` threads, and other Python threads run meanwhile.

    Args:
        params: Parameters, named parameters, or groups of them with options of their own.
        lr: Learning rate, >= 0.
        betas: Decay rates of the averages of the gradient and of its square, each in [0, 1).
        eps: Added to the denominator, >= 0.
        weight_decay: Share of a weight, times lr, that each step removes, >= 0.
        amsgrad: Divide by the largest average of the square so far (Reddi et al., 2018, arXiv:1904.09237).
        maximize: Climb instead of descend.

    Raises:
        ValueError: An option is out of range, or a parameter is one that the kernels cannot take.
    """

    def __init__(
        self,
        params: ParamsT,
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        maximize: bool = False,
    ) -> None:
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        check_options(options)
        super().__init__(params, {**options, "maximize": maximize})

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
            for position, param in enumerate(group["params"]):
                check_param(param, _label(group, index, position))
        except ValueError:
            self.param_groups.pop()
            raise

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
        batch = AdamWBatch()
        for index, group in enumerate(self.param_groups):
            batch.add_group(group)
            for position, param in enumerate(group["params"]):
                if param.grad is not None:
                    batch.add(param, param.grad, self.state[param], _label(group, index, position))
        batch.run()
        return loss

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a pickled or loaded state; options that older state dicts lack get their defaults."""
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("amsgrad", False)
            group.setdefault("maximize", False)
            check_options(group)
            check_foreign_options(group)

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Load a state dict of this class or of `torch.optim.AdamW`.

        torch casts moments to the dtype of their parameter; those of bfloat16 parameters are taken as they were saved.

        Raises:
            ValueError: The groups do not match, or the state asks for what this optimizer does not do.
        """
        seen: list[StateDict] = []
        handle = self.register_load_state_dict_pre_hook(lambda _, loaded: seen.append(loaded))
        try:
            super().load_state_dict(state_dict)
        finally:
            handle.remove()
        self._restore_moments(seen[0])

    def _restore_moments(self, loaded: StateDict) -> None:
        """Put float32 moments back where the base class has rounded them to bfloat16."""
        params = (param for group in self.param_groups for param in group["params"])
        saved_ids = (saved for group in loaded["param_groups"] for saved in group["params"])
        for param, saved in zip(params, saved_ids, strict=True):
            for name in moment_names(amsgrad=True):
                moment = loaded["state"].get(saved, {}).get(name)
                if isinstance(moment, Tensor) and moment.dtype is torch.float32 and param.dtype is not torch.float32:
                    self.state[param][name] = moment.to(device=param.device)


def _label(group: dict[str, Any], index: int, position: int) -> str:
    """Return what to call a parameter in an error: its name if the group has names."""
    names = group.get("param_names")
    return f"parameter '{names[position]}'" if names else f"parameter {position} of group {index}"
