"""Log-probabilities of chosen tokens, without the [token, vocabulary] logits.

    logp[i] = z[i, y[i]] - log sum_v exp z[i, v]        z = adjust(h @ W.T + b)

Hidden states meet the output head in tiles: some tokens times some of the vocabulary, small enough for a processor's
cache (`tiles.py`). Memory grows with tokens and not with the vocabulary. Sums are formed in float32 whatever the
model's type. `adjust` is what some models do after the head: a scale (Granite, Cohere) and soft-capping,
z -> c * tanh(z / c) (Gemma 2: arXiv:2408.00118, section 2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from swift_core.train import tiles
from swift_core.train.adjustment import Adjustment

STATISTICS: Final = frozenset({"entropies", "log_sum_p2", "top1"})
"""What can be had of each token in the same pass, without gradient: the entropy of its distribution in nats, the log of
the sum of its squared probabilities, and whether no other token was likelier than the label (1.0 or 0.0)."""


@dataclass(frozen=True, slots=True)
class HeadCall:
    """An output head as a kernel uses it."""

    module: nn.Module
    forward: Callable[[Tensor], Tensor]
    """The module's own forward; `module.forward` itself may be replaced while a kernel runs inside it."""

    adjust: Adjustment
    """What the model does after the head."""

    @classmethod
    def of(cls, module: nn.Module, adjust: Adjustment) -> HeadCall:
        """Return the head `module` as it is now, without what accelerate does to move tensors to its device."""
        forward = module._old_forward if _is_moved_to(module) else module.forward
        return cls(module, cast("Callable[[Tensor], Tensor]", forward), adjust)

    def placed(self, hidden: Tensor) -> Tensor:
        """Return `hidden` on the head's device, where a model is spread over several."""
        return hidden.to(cast("Tensor", self.module.weight).device) if _is_moved_to(self.module) else hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the adjusted logits of `hidden`, [..., vocabulary], in float32."""
        return self.adjust(self.forward(self.placed(hidden)))

    @property
    def vocabulary(self) -> int:
        """Number of tokens that it scores."""
        return int(getattr(self.module, "out_features", None) or cast("Tensor", self.module.weight).shape[0])

    @property
    def is_plain(self) -> bool:
        """Say whether it is a matrix product and nothing else: no adapter, no quantised weight, no hooked forward."""
        own = getattr(self.forward, "__func__", None)
        is_linear = isinstance(self.module, nn.Linear) and own is nn.Linear.forward
        return is_linear and type(self.module.weight) in (nn.Parameter, Tensor)

    @property
    def is_frozen(self) -> bool:
        """Say whether training leaves it alone."""
        return not any(parameter.requires_grad for parameter in self.module.parameters())

    @property
    def is_whole(self) -> bool:
        """Say whether its weights are here now, and not sharded over ranks."""
        return all(_is_whole(parameter) for parameter in self.module.parameters())


@dataclass(frozen=True, slots=True)
class TokenScores:
    """What the kernel says of each token."""

    logps: Tensor
    """[token] float32, in nats; differentiable by the hidden states and the head's parameters."""

    statistics: dict[str, Tensor]
    """[token] float32 by name, without gradient: those of STATISTICS that were asked for."""

    reference_logps: Tensor | None = None
    """[token] float32, without gradient, of the reference's hidden states when they were given."""


def token_scores(
    hidden: Tensor,
    head: HeadCall,
    labels: Tensor,
    *,
    asked: frozenset[str] = frozenset(),
    reference_hidden: Tensor | None = None,
) -> TokenScores:
    """Return the log-probability of each label under `head`.

    Args:
        hidden: [token, hidden] input of the head.
        head: The head. A plain linear one takes the fast path; anything else (an adapted one) is called.
        labels: [token] vocabulary ids.
        asked: Names of STATISTICS to compute in the same pass.
        reference_hidden: [token, hidden] of a reference model that has the same head, scored in the same pass.
    """
    if head.is_plain:
        module = cast("nn.Linear", head.module)
        return TokenScores(
            *tiles.scores(hidden, module.weight, module.bias, labels, head.adjust, asked, reference_hidden)
        )
    logps, statistics = _called(hidden, head, labels, asked)
    if reference_hidden is None:
        return TokenScores(logps, statistics)
    with torch.no_grad():
        reference_logps, _ = _called(reference_hidden, head, labels, frozenset())
    return TokenScores(logps, statistics, reference_logps)


def selected_logps(hidden: Tensor, head: nn.Module, labels: Tensor, adjust: Adjustment) -> Tensor:
    """Return [token] log-probabilities of `labels` under `head`: `token_scores` and nothing else asked."""
    return token_scores(hidden, HeadCall.of(head, adjust), labels).logps


def _called(hidden: Tensor, head: HeadCall, labels: Tensor, asked: frozenset[str]) -> tuple[Tensor, dict[str, Tensor]]:
    """Score by calling the head on tiles of tokens; the backward pass calls it again."""
    vocabulary = head.vocabulary
    parts = [
        checkpoint(_called_tile, hidden[span], head, labels[span], asked, use_reentrant=False)
        for span in _spans(len(labels), vocabulary)
    ]
    logps = torch.cat([logps for logps, _ in parts])
    return logps, {name: torch.cat([statistics[name] for _, statistics in parts]) for name in asked}


def _spans(num_tokens: int, vocabulary: int) -> Iterator[slice]:
    """Yield spans of tokens, at least one (and that empty) so that every rank calls the head."""
    size = max(16, tiles.CALLED_ELEMENTS // vocabulary)
    return (slice(start, start + size) for start in range(0, max(1, num_tokens), size))


def _called_tile(
    hidden: Tensor, head: HeadCall, labels: Tensor, asked: frozenset[str]
) -> tuple[Tensor, dict[str, Tensor]]:
    logits = head.logits(hidden)
    logps = logits.gather(1, labels[:, None]).squeeze(1) - logits.logsumexp(1)
    if not asked:
        return logps, {}
    with torch.no_grad():
        running = tiles.RunningSoftmax(labels, asked)
        running.absorb_(logits.detach().clone(), slice(None), first_column=0)
        return logps, running.statistics()


def _is_moved_to(module: nn.Module) -> bool:
    """Say whether a hook of accelerate brings tensors to the device of `module`, whose weights stay there."""
    hook = module.__dict__.get("_hf_hook")
    return hook is not None and hasattr(hook, "execution_device") and not hook.offload


def _is_whole(parameter: Tensor) -> bool:
    from torch.distributed.tensor import DTensor

    if isinstance(parameter, DTensor):
        return False
    return parameter.untyped_storage().nbytes() >= parameter.numel() * parameter.itemsize > 0
