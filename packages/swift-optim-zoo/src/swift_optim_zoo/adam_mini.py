"""Adam-mini: one second moment for a whole block of weights; half of AdamW's states.

    v_b <- beta2 v_b + (1 - beta2) mean of g^2 over block b
    m   <- beta1 m + (1 - beta1) g
    p   <- p * (1 - lr * weight_decay) - lr * m / (1 - beta1^t) / (sqrt(v_b / (1 - beta2^t)) + eps)

Zhang et al., 2024, arXiv:2406.16793, alg. 1 and 3. Blocks go by name, as the authors have them: heads of query and key
projections, rows of every other matrix (a token of an embedding, a neuron of the rest), single weights of a bias, and
the whole of any other vector, such as that of a norm. With other_blocks `tensor` matrices that no name tells apart have
one moment each.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from swift_optim_zoo._base import Group, State, ZooOptimizer, next_step, zeros_in
from swift_optim_zoo._checks import check_common, require_choice, require_integer
from swift_optim_zoo._targets import name_matches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

Block = Literal["head", "row", "weight", "tensor"]

_QUERY_KEY = ("q_proj", "k_proj", "wq", "wk", "query", "key")
_BY_ROW = (
    *("embed", "embd", "wte", "lm_head", "output", "final_layer", "v_proj", "wv", "value"),
    *("o_proj", "wo", "attn.proj", "feed_forward", "linear", "mlp"),
)
"""Parts of names of embeddings, heads, values, projections of attention and neurons."""


def block_of(name: str, param: Tensor, head_size: int, other: Literal["row", "tensor"]) -> Block:
    """Return what shares a second moment within `param`; `other` is for matrices whose name says nothing."""
    if param.dim() >= 2:
        is_query_key = name_matches(name.lower(), _QUERY_KEY)
        if is_query_key and head_size > 1 and param.shape[0] % head_size == 0:
            return "head"
        return "row" if is_query_key or name_matches(name.lower(), _BY_ROW) else other
    return "weight" if name.endswith("bias") else "tensor"


def block_means(grad: Tensor, block: Block, head_size: int) -> Tensor:
    """Return the mean squared gradient of each block, in a shape that broadcasts over `grad` seen by `as_blocks`."""
    squared = as_blocks(grad, block, head_size).square()
    return squared if block == "weight" else squared.mean(dim=-1, keepdim=True)


def as_blocks(tensor: Tensor, block: Block, head_size: int) -> Tensor:
    """Return `tensor` with one block per row: [blocks, block size]; unchanged where each weight is its own."""
    if block == "weight":
        return tensor
    if block == "tensor":
        return tensor.reshape(1, -1)
    return tensor.reshape(tensor.shape[0] // (head_size if block == "head" else 1), -1)


class AdamMini(ZooOptimizer):
    """AdamW with one second moment for each head, row or vector (Adam-mini).

    Args:
        params: Parameters, named parameters, or groups; names say what a parameter is.
        lr: Learning rate, >= 0.
        betas: Decay of the first and second moment, each in [0, 1).
        eps: Term added to the root of the second moment, >= 0.
        weight_decay: Decoupled weight decay, >= 0.
        head_size: Rows of a query or key projection that are one head; 0 or 1 gives every row its own moment.
        other_blocks: What shares a moment in a matrix whose name is none of a transformer's: a `row` or the `tensor`.

    Raises:
        ValueError: An option is out of its range.
    """

    state_bytes: ClassVar[str] = "4 * size + 4"
    matrix_state_bytes: ClassVar[str] = "4 * size + 4 * rows"

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        head_size: int = 0,
        other_blocks: Literal["row", "tensor"] = "row",
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "head_size": head_size,
            "other_blocks": other_blocks,
        }
        super().__init__(params, defaults)

    @staticmethod
    def check_options(options: Group) -> None:
        """Raise ValueError for an option out of its range."""
        check_common(options)
        require_integer(0, head_size=options["head_size"])
        require_choice(("row", "tensor"), other_blocks=options["other_blocks"])

    def prepare(self, group: Group) -> None:
        """Decide for each parameter of the group what its blocks are."""
        names = group.get("param_names") or [""] * len(group["params"])
        sized = zip(names, group["params"], strict=True)
        head_size, other = group["head_size"], group["other_blocks"]
        group["blocks"] = [block_of(name, param, head_size, other) for name, param in sized]

    def update(self, weights: Tensor, grad: Tensor, state: State, group: Group, index: int) -> None:
        """Move one parameter."""
        step, lr, (beta1, beta2) = next_step(state), float(group["lr"]), group["betas"]
        block, head_size = group["blocks"][index], group["head_size"]
        first = zeros_in(state, "exp_avg", weights).lerp_(grad, 1 - beta1)
        means = block_means(grad, block, head_size)
        second = zeros_in(state, "exp_avg_sq", means).lerp_(means, 1 - beta2)
        denominator = second.sqrt().div_(math.sqrt(1 - beta2**step)).add_(group["eps"])
        direction = as_blocks(first, block, head_size) / denominator
        weights.mul_(1 - lr * group["weight_decay"])
        weights.add_(direction.reshape(weights.shape), alpha=-lr / (1 - beta1**step))
