"""Log-probabilities of chosen tokens, without the [token, vocabulary] logits.

    logp[i] = z[i, y[i]] - log sum_v exp z[i, v]        z = adjust(h @ W.T + b)

Hidden states go through the output head in tiles of tokens. The forward pass keeps one number a token (the log-sum-
exp); the backward pass forms a tile's logits again: memory grows with tokens and not with tokens times vocabulary.
Sums are formed in float32 whatever the model's type. `adjust` is what some models do after the head: a scale (Granite,
Cohere) and soft-capping, z -> c * tanh(z / c) (Gemma: arXiv:2408.00118, section 2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

TILE_ELEMENTS = 1 << 24
"""Logits formed at a time: 64 MiB in float32."""


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What a model does to the head's output before the softmax."""

    scale: float = 1.0
    softcap: float = 0.0
    """Bound of soft-capping; 0 is none."""

    def __call__(self, logits: Tensor) -> Tensor:
        """Return adjusted float32 logits."""
        logits = logits.float()
        if self.scale != 1.0:
            logits = logits * self.scale
        if self.softcap:
            logits = self.softcap * torch.tanh(logits / self.softcap)
        return logits

    def backward_(self, grad: Tensor, adjusted: Tensor) -> Tensor:
        """Turn the gradient by adjusted logits into the one by the head's output, in place."""
        if self.softcap:
            grad.mul_(1 - (adjusted / self.softcap).square_())
        if self.scale != 1.0:
            grad.mul_(self.scale)
        return grad


def selected_logps(hidden: Tensor, head: nn.Module, labels: Tensor, adjust: Adjustment) -> Tensor:
    """Return the log-probability of each label under `head`.

    Args:
        hidden: [token, hidden] input of the head.
        head: The output head; a plain `nn.Linear` takes the fast path, anything else (an adapted head) is called.
        labels: [token] vocabulary ids.
        adjust: What the model does after the head.

    Returns:
        [token] float32, in nats; differentiable by `hidden` and the head's parameters.
    """
    if type(head) is nn.Linear:
        return cast("Tensor", cast("Any", _SelectedLogps).apply(hidden, head.weight, head.bias, labels, adjust))
    vocabulary = getattr(head, "out_features", None) or cast("Tensor", head.weight).shape[0]
    tiles = [
        checkpoint(_tile_logps, hidden[span], head, labels[span], adjust, use_reentrant=False)
        for span in _spans(len(labels), int(vocabulary))
    ]
    return torch.cat(tiles) if tiles else hidden.new_zeros(0, dtype=torch.float32)


def _spans(num_tokens: int, vocabulary: int) -> Iterator[slice]:
    size = max(16, TILE_ELEMENTS // vocabulary)
    return (slice(start, start + size) for start in range(0, num_tokens, size))


def _tile_logps(hidden: Tensor, head: nn.Module, labels: Tensor, adjust: Adjustment) -> Tensor:
    logits = adjust(head(hidden))
    return logits.gather(1, labels[:, None]).squeeze(1) - logits.logsumexp(1)


class _SelectedLogps(torch.autograd.Function):
    """The fast path: head product, log-sum-exp and their gradient, tile by tile.

    A trained head: the backward pass forms each tile's logits again. A frozen head (adapters): the gradient by the
    hidden state is W[y] - E_p[W] times the incoming one, and the forward pass has p at hand, so that it forms the
    difference once and nothing is computed again.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, adjust: Adjustment
    ) -> Tensor:
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        only_hidden = needs_hidden and not (needs_weight or needs_bias)
        hidden, weight, bias = _common_dtype(hidden, weight, bias)
        logps = hidden.new_empty(len(labels), dtype=torch.float32)
        normalisers = torch.empty_like(logps)
        direction = torch.empty_like(hidden) if only_hidden else None
        for span in _spans(len(labels), len(weight)):
            logits = adjust(nn.functional.linear(hidden[span], weight, bias))
            normalisers[span] = logits.logsumexp(1)
            logps[span] = logits.gather(1, labels[span, None]).squeeze(1) - normalisers[span]
            if direction is not None:
                ones = torch.ones_like(logps[span])
                direction[span] = (
                    _delta(logits, normalisers[span], labels[span], ones, adjust).to(hidden.dtype) @ weight
                )
        if direction is not None:
            ctx.save_for_backward(direction)
        else:
            ctx.save_for_backward(hidden, weight, bias, labels, normalisers)
        ctx.only_hidden, ctx.adjust = only_hidden, adjust
        return logps

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.only_hidden:
            (direction,) = ctx.saved_tensors
            return direction * grad[:, None], None, None, None, None
        hidden, weight, bias, labels, normalisers = ctx.saved_tensors
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        grad_hidden = torch.empty_like(hidden) if needs_hidden else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if needs_weight else None
        grad_bias = torch.zeros(len(weight), dtype=torch.float32, device=weight.device) if needs_bias else None
        for span in _spans(len(labels), len(weight)):
            logits = ctx.adjust(nn.functional.linear(hidden[span], weight, bias))
            delta = _delta(logits, normalisers[span], labels[span], grad[span], ctx.adjust)
            if grad_bias is not None:
                grad_bias += delta.sum(0)
            delta = delta.to(hidden.dtype)
            if grad_hidden is not None:
                grad_hidden[span] = delta @ weight
            if grad_weight is not None:
                _add_product_(grad_weight, delta.T, hidden[span])
        cast_weight = grad_weight.to(weight.dtype) if grad_weight is not None else None
        return grad_hidden, cast_weight, grad_bias, None, None


def _add_product_(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add left @ right to float32 `total`, without a temporary where the types allow it."""
    if left.dtype == total.dtype:
        total.addmm_(left, right)
    else:
        total.add_(left @ right)


def _delta(logits: Tensor, normalisers: Tensor, labels: Tensor, grad: Tensor, adjust: Adjustment) -> Tensor:
    """Return the gradient by the head's output: grad * (onehot(label) - softmax), [token, vocabulary]."""
    delta = (logits - normalisers[:, None]).exp_().mul_(-grad[:, None])
    delta.scatter_add_(1, labels[:, None], grad[:, None].to(delta.dtype))
    return adjust.backward_(delta, logits)


def _common_dtype(hidden: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Follow autocast, or else the head's own type."""
    device = hidden.device.type
    target = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
    return hidden.to(target), weight.to(target), None if bias is None else bias.to(target)
