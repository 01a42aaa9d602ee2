"""The model's forward pass, and work done inside its output head.

Models of transformers end in `logits = head(hidden)`. For one call the head's forward is replaced by a stub that does
the work at hand, such as the log-probabilities of scored tokens, and hands the model a column of zeros for logits. So
the logits are never formed; and an engine that shards weights (FSDP, ZeRO-3) has gathered the head's while it is read,
and gathers it again before its gradient is formed, because the results hang between the model's inputs and its output.

What the model does after the head (scale, soft-capping) is read from its configuration and proved against the model's
own logits before training starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from swift_core.errors import Problem, SwiftError
from swift_core.train.adjustment import Adjustment
from swift_core.train.logps import HeadCall

if TYPE_CHECKING:
    from swift_core.train.isolation import Isolation, LaidOut

MODEL_INPUTS = (
    *("input_ids", "attention_mask", "position_ids", "segments"),
    *("cu_seq_lens_q", "cu_seq_lens_k", "max_length_q", "max_length_k"),
)
"""What of a batch is given to the model, where the batch has it."""

Results = dict[str, Tensor]
Work = Callable[[Tensor, HeadCall], Results]


class OutputHead:
    """The output head of a causal language model, and how to run the model with work inside it."""

    def __init__(self, model: Any) -> None:
        """Find the head of `model` (a transformers model, adapted or not)."""
        self.module: nn.Module = model.get_output_embeddings()
        self.adjust = Adjustment.of(model.config.get_text_config())
        self.reads: dict[tuple[str, bool], set[str]] = {}
        """What was read of the last micro-batch, by who read it and whether with gradient: it will be read again."""
        self.isolation: Isolation | None = None
        """How the model sees micro-batches as lines of segments; None: row by row."""

    def lay_out(self, batch: Mapping[str, Tensor]) -> LaidOut | None:
        """Return how the model sees `batch`; None: row by row."""
        return None if self.isolation is None else self.isolation.lay_out(batch)

    @property
    def call(self) -> HeadCall:
        """The head for use outside the model's forward pass; its weights may be sharded there."""
        return HeadCall.of(self.module, self.adjust)

    def run(self, model: nn.Module, inputs: Mapping[str, Any], work: Work) -> Results:
        """Run `model`, wrapped or not, and return what `work(hidden, head)` made inside its head.

        Args:
            model: The model of this head.
            inputs: MODEL_INPUTS, `vision` with what a model that sees images is given beside the tokens, and other
                values, which are not given to the model.
            work: Called once with the head's input, [batch, time, hidden], and the head.
        """
        given = {name: inputs[name] for name in MODEL_INPUTS if name in inputs} | dict(inputs.get("vision", {}))
        with self._replaced(work) as results:
            output = model(**given, use_cache=False)
        return _tied(results, output.logits)

    def hidden(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the head's input, [batch, time, hidden]."""
        return self.run(model, inputs, lambda hidden, _: {"hidden": hidden})["hidden"]

    @contextmanager
    def _replaced(self, work: Work) -> Iterator[Results]:
        results: Results = {}
        head, previous = self.call, self.module.__dict__.get("forward")

        def stub(hidden: Tensor, *_: Any, **__: Any) -> Tensor:
            results.update(work(head.placed(hidden), head))
            differentiable = [value for value in results.values() if value.requires_grad]
            return cast("Tensor", cast("Any", _Zeros).apply(hidden.detach(), *differentiable))

        self.module.forward = stub
        try:
            yield results
        finally:
            if previous is None:
                del self.module.forward
            else:
                self.module.forward = previous

    @torch.no_grad()
    def prove(self, model: nn.Module, inputs: Mapping[str, Any]) -> None:
        """Raise SwiftError unless the head's logits on one row are the model's own."""
        row, vision = proved_row(inputs)
        was_training = model.training
        model.eval()
        own = cast("Any", model)(**row, **vision, use_cache=False).logits.float()
        given = {**row, "vision": vision}
        ours = self.run(model, given, lambda hidden, head: {"logits": head.logits(hidden)})["logits"]
        model.train(was_training)
        limit = 1e-4 if own.dtype == self.module.weight.dtype else 5e-2
        scored = row["attention_mask"].bool()
        difference = (own - ours)[scored].abs().max().item()
        if not difference <= limit * max(1.0, own[scored].abs().max().item()):
            raise SwiftError(
                Problem(
                    "model-head",
                    f"{type(model).__name__} changes its logits after the output head in a way that is not known here "
                    f"(largest difference {difference:.3g}).",
                    next_step="use a model whose logits are its head's output, scaled or soft-capped",
                )
            )


def proved_row(inputs: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the tokens of the first row, or of all rows where there are images, and the model's inputs beside them."""
    names, vision = ("input_ids", "attention_mask"), dict(inputs.get("vision", {}))
    return {name: inputs[name] if vision else inputs[name][:1] for name in names}, vision


def _tied(results: Results, output: Tensor) -> Results:
    """Return `results` such that their gradient passes the model's output on its way, where engines listen for it."""
    names = [name for name, value in results.items() if value.requires_grad]
    if not names:
        return results
    tied = cast("Any", _Tie).apply(output, *(results[name] for name in names))
    return results | dict(zip(names, tied, strict=True))


class _Zeros(torch.autograd.Function):
    """A column of zeros in the place of logits that depends on the results, with no gradient for them."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, *results: Tensor) -> Tensor:
        ctx.num_results = len(results)
        return hidden.new_zeros(*hidden.shape[:-1], 1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, ...]:
        nothing: tuple[None, ...] = (None,) * (1 + ctx.num_results)
        return nothing


class _Tie(torch.autograd.Function):
    """The results as they are; their gradient reaches them and, as zeros, the model's output."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, *results: Tensor) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.like = (output.shape, output.dtype, output.device)
        return tuple(result.view_as(result) for result in results)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        shape, dtype, device = ctx.like
        return torch.zeros(shape, dtype=dtype, device=device), *grads
