"""AdamW with moments of 8 bits: a quarter of AdamW's memory.

    m <- beta1 m + (1 - beta1) g                       v <- beta2 v + (1 - beta2) g^2
    p <- p * (1 - lr * weight_decay) - lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
    m and v are kept in one byte each, in blocks with a scale of their own

Dettmers et al., 2021, arXiv:2110.02861. On a CPU the kernels of swift-native take the steps where it is installed, with
its codes in blocks of 128; elsewhere it is plain torch, with codes that are logarithms in blocks of 256. On a GPU
bitsandbytes, the library of that paper's authors, takes the steps, with codes of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from swift_optim_zoo._base import Group, State, ZooOptimizer
from swift_optim_zoo._checks import check_common
from swift_optim_zoo._eight_bit import AdamOptions, adam8bit_step
from swift_optim_zoo._steppers import find_stepper, tell

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


class AdamW8bit(ZooOptimizer):
    """AdamW with moments of 8 bits in blocks; tensors below 4096 elements keep float32 moments.

    On a CPU the steps are those of `swift_native.AdamW` with `moments="8bit"` where that is installed and the
    parameters are float32 or bfloat16; on a GPU they are those of `bitsandbytes.optim.AdamW8bit`. A run that was saved
    in the codes of plain torch goes on in them.

    Args:
        params: Parameters, named parameters, or groups.
        lr: Learning rate, >= 0.
        betas: Decay of the first and second moment, each in [0, 1).
        eps: Term added to the root of the second moment, >= 0.
        weight_decay: Decoupled weight decay, >= 0.

    Raises:
        ValueError: An option is out of its range; or parameters are on a GPU, and others are not or bitsandbytes is not
            installed.
    """

    needs_package_on_gpu: ClassVar[str] = "bitsandbytes"
    takes_package_on_cpu: ClassVar[str] = "swift_native"
    state_bytes: ClassVar[str] = "8 * size if size < 4096 else 2 * size + 3 * ceil(size / 128)"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay})
        self._stepper = find_stepper(self.param_groups, self.state)
        tell(self._stepper)

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        options = AdamOptions(float(group["lr"]), group["betas"], group["eps"], group["weight_decay"])
        adam8bit_step(weights, grad, state, options)

    def add_param_group(self, param_group: Group) -> None:
        """Add a group, and look again who can take the steps."""
        super().add_param_group(param_group)
        if hasattr(self, "_stepper"):  # not while the first groups are added
            self._stepper = find_stepper(self.param_groups, self.state)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._stepper = find_stepper(self.param_groups, self.state)

    def step_groups(self) -> None:
        """Move every parameter that has a gradient."""
        if self._stepper is None:
            super().step_groups()
            return
        for group in self.param_groups:
            for param in group["params"]:
                self.refuse_sparse(param)
        self._stepper.step(self.param_groups, self.state)

    def step_param_alone(self, param: Tensor) -> None:
        """Move one parameter that has a gradient, and nothing else."""
        if self._stepper is None:
            super().step_param_alone(param)
        else:
            self._stepper.step_param_alone(param, self.param_groups, self.state)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a saved state.

        Raises:
            ValueError: Its moments have codes that cannot be read here: it was saved on a GPU and the parameters are on
                a CPU, or the reverse; or swift-native saved it and is not there.
        """
        find_stepper(self.param_groups, state_dict["state"])  # refuses codes that it cannot read
        super().load_state_dict(state_dict)
