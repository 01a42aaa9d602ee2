"""Stochastic gradient descent with momentum, Nesterov's if wished.

    g <- g + weight_decay * p                     (or, decoupled:  p <- p * (1 - lr * weight_decay))
    b <- momentum * b + (1 - dampening) * g       (the first b is g)
    p <- p - lr * b                               (Nesterov:  p <- p - lr * (g + momentum * b))

Sutskever et al., 2013, "On the importance of initialization and momentum in deep learning", sec. 2, in the form of
torch.optim.SGD: the learning rate multiplies the whole momentum. Decoupled decay: arXiv:1711.05101, alg. 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.plugin_api import require_between
from swift_optim_zoo._base import Group, State, ZooOptimizer, zeros_in
from swift_optim_zoo._checks import check_common

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


def sgd_(
    param: Tensor,
    grad: Tensor,
    buffer: Tensor | None,
    *,
    lr: float,
    momentum: float,
    nesterov: bool,
    dampening: float = 0.0,
) -> None:
    """Apply one step in place to `param` and its momentum `buffer`; None is plain gradient descent."""
    if buffer is None:
        param.add_(grad, alpha=-lr)
        return
    buffer.mul_(momentum).add_(grad, alpha=1 - dampening)
    param.add_(grad.add(buffer, alpha=momentum) if nesterov else buffer, alpha=-lr)


class SGD(ZooOptimizer):
    """Gradient descent with momentum (SGD); no state at all where momentum is 0.

    Args:
        params: Parameters, named parameters, or groups.
        lr: Learning rate, >= 0.
        momentum: Decay of the momentum, in [0, 1).
        dampening: Share of the gradient that the momentum leaves out, in [0, 1); the first one is taken whole.
        nesterov: Look ahead along the momentum; needs momentum > 0 and no dampening.
        weight_decay: Weight decay, >= 0.
        decoupled_decay: Take the decay off the weights; otherwise it is added to the gradient, as torch does.

    Raises:
        ValueError: An option is out of its range.
    """

    works_on: ClassVar[str] = "elements"
    state_bytes: ClassVar[str] = "4 * size if momentum else 0"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        decoupled_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "nesterov": nesterov,
            "weight_decay": weight_decay,
            "decoupled_decay": decoupled_decay,
        }
        super().__init__(params, defaults)

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)
        require_between(0.0, 1.0, momentum=options["momentum"], dampening=options["dampening"])
        if options["nesterov"] and not options["momentum"]:
            raise ValueError(f"nesterov needs momentum > 0, got momentum {options['momentum']}")
        if options["nesterov"] and options["dampening"]:
            raise ValueError(f"nesterov needs dampening 0, got {options['dampening']}")

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        lr, momentum, decay = float(group["lr"]), group["momentum"], group["weight_decay"]
        if decay and group["decoupled_decay"]:
            weights.mul_(1 - lr * decay)
        elif decay:
            grad = grad.add(weights, alpha=decay)
        dampening = group["dampening"] if "momentum_buffer" in state else 0.0
        buffer = zeros_in(state, "momentum_buffer", weights) if momentum else None
        sgd_(weights, grad, buffer, lr=lr, momentum=momentum, nesterov=group["nesterov"], dampening=dampening)
