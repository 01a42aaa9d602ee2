"""AdamW with moments of 8 bits: a quarter of AdamW's memory.

    m <- beta1 m + (1 - beta1) g                       v <- beta2 v + (1 - beta2) g^2
    p <- p * (1 - lr * weight_decay) - lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
    m and v are kept in one byte each, in blocks of 256 with a scale of their own

Dettmers et al., 2021, arXiv:2110.02861. The codes here are logarithms, rounded to the nearest for m
and by chance for v. On a GPU bitsandbytes, the library of that paper's authors, takes the steps, with codes of its own.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from swift_optim_zoo._base import Group, State, ZooOptimizer
from swift_optim_zoo._checks import check_common
from swift_optim_zoo._eight_bit import AdamOptions, adam8bit_step

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from torch import Tensor

_logger = logging.getLogger(__name__)

_THEIR_MOMENT = "state1"
"""Key of the first moment in a state of bitsandbytes."""


class AdamW8bit(ZooOptimizer):
    """AdamW with moments of 8 bits in blocks; tensors below 4096 elements keep float32 moments.

    On a GPU the steps are those of `bitsandbytes.optim.AdamW8bit`.

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
    state_bytes: ClassVar[str] = "8 * size if size < 4096 else 2 * size + 8 * ceil(size / 256)"

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
        if self._theirs is not None:
            _logger.warning("adamw8bit: the parameters are on a GPU; bitsandbytes takes the steps")

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        options = AdamOptions(float(group["lr"]), group["betas"], group["eps"], group["weight_decay"])
        adam8bit_step(weights, grad, state, options)

    def prepare(self, group: Group) -> None:
        """Look where the parameters are."""
        self._theirs = _theirs(self.param_groups)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._theirs = _theirs(self.param_groups)

    def step_groups(self) -> None:
        """Move every parameter that has a gradient."""
        if self._theirs is None:
            super().step_groups()
            return
        self._theirs.param_groups, self._theirs.state = self.param_groups, self.state
        self._theirs.step()

    def step_param_alone(self, param: Tensor) -> None:
        """Move one parameter that has a gradient; bitsandbytes passes over those that have none."""
        if self._theirs is None:
            super().step_param_alone(param)
        else:
            self.step_groups()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a saved state.

        Raises:
            ValueError: It has the codes of bitsandbytes and the parameters are on a CPU, or the reverse.
        """
        _check_codes(state_dict["state"].values(), are_theirs=self._theirs is not None)
        super().load_state_dict(state_dict)
        if self._theirs is not None:
            for entry in self.state.values():
                entry["step"] = int(entry["step"])  # their kernels take a number


def _theirs(groups: Iterable[Group]) -> Any:
    """Return an optimizer of bitsandbytes for parameters on a GPU, None for others."""
    places = _places(groups)
    if "cuda" not in places:
        return None
    if len(places) > 1:
        raise ValueError(f"adamw8bit takes parameters that are all on a GPU or all elsewhere, got {', '.join(places)}")
    try:
        library = import_module("bitsandbytes.optim")
    except ModuleNotFoundError as error:
        raise ValueError("adamw8bit on a GPU needs the package bitsandbytes: pip install bitsandbytes") from error
    return library.AdamW8bit([{**group} for group in groups])


def _places(groups: Iterable[Group]) -> list[str]:
    """Return the types of devices that parameters are on."""
    return sorted({param.device.type for group in groups for param in group["params"]})


def _check_codes(entries: Iterable[Mapping[str, Any]], *, are_theirs: bool) -> None:
    """Raise ValueError if saved moments are not in the codes that the next step reads."""
    for entry in entries:
        if (_THEIR_MOMENT in entry) != are_theirs:
            saved, here = ("a CPU", "a GPU") if are_theirs else ("a GPU", "a CPU")
            raise ValueError(
                f"the saved moments are from {saved} and cannot be read on {here}: bitsandbytes has other codes; "
                f"resume on {saved}"
            )
