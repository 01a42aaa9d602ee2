"""RMSprop: the gradient over the root of a mean of its squares.

    g <- g + weight_decay * p                     (or, decoupled:  p <- p * (1 - lr * weight_decay))
    v <- alpha * v + (1 - alpha) * g^2
    m <- alpha * m + (1 - alpha) * g              (centered only; else m is 0)
    b <- momentum * b + g / (sqrt(v - m^2) + eps)
    p <- p - lr * b

Tieleman and Hinton, 2012, "Neural networks for machine learning", lecture 6.5, in the form of torch.optim.RMSprop.
Centered, and with momentum: Graves, 2013, arXiv:1308.0850, eq. 38 to 41, whose eps is under the root. Decoupled decay:
arXiv:1711.05101, alg. 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.plugin_api import require_between, require_positive
from swift_optim_zoo._base import Group, State, ZooOptimizer, zeros_in
from swift_optim_zoo._checks import check_common
from swift_optim_zoo._chunks import by_chunks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


def rmsprop_(
    param: Tensor,
    grad: Tensor,
    square_avg: Tensor,
    grad_avg: Tensor | None = None,
    momentum_buffer: Tensor | None = None,
    *,
    lr: float,
    alpha: float,
    eps: float,
    momentum: float,
) -> None:
    """Apply one RMSprop step in place; without `grad_avg` it is not centered, without a buffer it has no momentum."""
    square_avg.mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
    if grad_avg is None:
        root = square_avg.sqrt()
    else:
        grad_avg.lerp_(grad, 1 - alpha)
        root = square_avg.addcmul(grad_avg, grad_avg, value=-1).clamp_(min=0).sqrt_()  # rounding may go below 0
    if momentum_buffer is None:
        param.addcdiv_(grad, root.add_(eps), value=-lr)
    else:
        momentum_buffer.mul_(momentum).addcdiv_(grad, root.add_(eps))
        param.add_(momentum_buffer, alpha=-lr)


class RMSprop(ZooOptimizer):
    """Divide each weight's step by the root of a mean of its squared gradients (RMSprop); one to three states.

    Args:
        params: Parameters, named parameters, or groups.
        lr: Learning rate, >= 0.
        alpha: Decay of the means, in [0, 1).
        eps: Added to the root, > 0.
        momentum: Decay of a momentum of the divided gradients, in [0, 1).
        centered: Divide by the deviation: take the square of the gradient's mean off the mean of its squares.
        weight_decay: Weight decay, >= 0.
        decoupled_decay: Take the decay off the weights; otherwise it is added to the gradient, as torch does.

    Raises:
        ValueError: An option is out of its range.
    """

    works_on: ClassVar[str] = "elements"
    state_bytes: ClassVar[str] = "4 * size * (1 + (1 if centered else 0) + (1 if momentum else 0))"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        centered: bool = False,
        weight_decay: float = 0.0,
        decoupled_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "momentum": momentum,
            "centered": centered,
            "weight_decay": weight_decay,
            "decoupled_decay": decoupled_decay,
        }
        super().__init__(params, defaults)

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)
        require_positive(eps=options["eps"])
        require_between(0.0, 1.0, alpha=options["alpha"], momentum=options["momentum"])

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        lr, decay = float(group["lr"]), group["weight_decay"]
        if decay and group["decoupled_decay"]:
            weights.mul_(1 - lr * decay)
        elif decay:
            grad = grad.add(weights, alpha=decay)
        names = ["square_avg"]
        names += ["grad_avg"] if group["centered"] else []
        names += ["momentum_buffer"] if group["momentum"] else []

        def step(param: Tensor, grad: Tensor, *pieces: Tensor) -> None:
            kept = dict(zip(names, pieces, strict=True))
            rmsprop_(param, grad, lr=lr, alpha=group["alpha"], eps=group["eps"], momentum=group["momentum"], **kept)

        by_chunks(step, weights, grad, *(zeros_in(state, name, weights) for name in names))
