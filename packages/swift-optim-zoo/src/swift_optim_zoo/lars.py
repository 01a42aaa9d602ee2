"""LARS: momentum SGD with a learning rate per layer, in the ratio of weights to gradient; for very large batches.

    r  = trust_coefficient * |p| / (|g| + weight_decay * |p|)        (1 for vectors, and where a norm is 0)
    r  = min(r / lr, 1)                                              (only with trust_clip: LARC)
    b <- momentum * b + r * (g + weight_decay * p)
    p <- p - lr * b                                                  (Nesterov: momentum * b is added once more)

You, Gitman and Ginsburg, 2017, arXiv:1708.03888, alg. 1; the learning rate multiplies the whole momentum, as in
torch.optim.SGD, which is the same as long as it is constant. Vectors have a ratio too with adapt_vectors; where there
is no decay it is 1 without adapt_undecayed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.plugin_api import require_between, require_positive
from swift_optim_zoo._base import Group, State, ZooOptimizer, zeros_in
from swift_optim_zoo._checks import check_common
from swift_optim_zoo.sgd import sgd_

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


def layer_rate(weights: Tensor, grad: Tensor, group: Group) -> float:
    """Return the factor of the gradient of one parameter."""
    decay, lr = group["weight_decay"], float(group["lr"])
    if (weights.dim() < 2 and not group["adapt_vectors"]) or not (decay or group["adapt_undecayed"]):
        return 1.0
    weight_norm, grad_norm = float(weights.norm()), float(grad.norm())
    if weight_norm == 0 or grad_norm == 0:
        return 1.0
    ratio: float = group["trust_coefficient"] * weight_norm / (grad_norm + decay * weight_norm)
    if group["trust_clip"]:
        return min(ratio / lr, 1.0) if lr else 1.0
    return ratio


class Lars(ZooOptimizer):
    """Momentum SGD with a learning rate per layer, in the ratio of weights to gradient (LARS).

    Args:
        params: Parameters, named parameters, or groups.
        lr: Learning rate, >= 0; times trust_coefficient it is the share of its norm that a matrix moves by.
        momentum: Decay of the momentum, in [0, 1).
        nesterov: Look ahead along the momentum; needs momentum > 0.
        weight_decay: Weight decay, >= 0; part of the gradient.
        trust_coefficient: How far a layer trusts its gradient, > 0.
        trust_clip: Use the ratio as a ceiling of lr only, as LARC does.
        adapt_vectors: Take the ratio for vectors too.
        adapt_undecayed: Take the ratio also where weight_decay is 0.

    Raises:
        ValueError: An option is out of its range.
    """

    state_bytes: ClassVar[str] = "4 * size if momentum else 0"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        trust_coefficient: float = 1e-3,
        trust_clip: bool = False,
        adapt_vectors: bool = False,
        adapt_undecayed: bool = True,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "nesterov": nesterov,
            "weight_decay": weight_decay,
            "trust_coefficient": trust_coefficient,
            "trust_clip": trust_clip,
            "adapt_vectors": adapt_vectors,
            "adapt_undecayed": adapt_undecayed,
        }
        super().__init__(params, defaults)

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)
        require_between(0.0, 1.0, momentum=options["momentum"])
        require_positive(trust_coefficient=options["trust_coefficient"])
        if options["nesterov"] and not options["momentum"]:
            raise ValueError(f"nesterov needs momentum > 0, got momentum {options['momentum']}")

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        decay, momentum = group["weight_decay"], group["momentum"]
        scaled = grad.add(weights, alpha=decay).mul_(layer_rate(weights, grad, group))
        buffer = zeros_in(state, "momentum_buffer", weights) if momentum else None
        sgd_(weights, scaled, buffer, lr=float(group["lr"]), momentum=momentum, nesterov=group["nesterov"])
