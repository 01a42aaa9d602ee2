"""The model's forward pass up to its output head.

Models of transformers end in `logits = head(hidden)`. Here the head is replaced for one call by a stub that keeps its
input, so that the logits are never formed. What the model does after the head (scale, soft-capping) is read from its
configuration and proved against the model's own logits before training starts.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from swift_core.errors import Problem, SwiftError
from swift_core.train.adjustment import Adjustment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class OutputHead:
    """The output head of a causal language model, and how to run the model up to it."""

    def __init__(self, model: Any) -> None:
        """Find the head of `model` (a transformers model, adapted or not)."""
        self.module: nn.Module = model.get_output_embeddings()
        self.adjust = _adjustment(model.config.get_text_config())

    def hidden(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the head's input, [batch, time, hidden], from a forward pass of its model, wrapped or not."""
        with self._captured() as captured:
            model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False)
        return captured[0]

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the adjusted logits of `hidden`, [..., vocabulary], in float32."""
        return self.adjust(self.module(hidden))

    @contextmanager
    def _captured(self) -> Iterator[list[Tensor]]:
        captured: list[Tensor] = []

        def stub(hidden: Tensor, *_: Any, **__: Any) -> Tensor:
            captured.append(hidden)
            return hidden[..., :1]

        previous = self.module.__dict__.get("forward")
        self.module.forward = stub
        try:
            yield captured
        finally:
            if previous is None:
                del self.module.forward
            else:
                self.module.forward = previous

    @torch.no_grad()
    def prove(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> None:
        """Raise SwiftError unless the head's logits on one row are the model's own."""
        row = {name: inputs[name][:1] for name in ("input_ids", "attention_mask")}
        was_training = model.training
        model.eval()
        own = cast("Any", model)(**row, use_cache=False).logits.float()
        ours = self.logits(self.hidden(model, row))
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


def _adjustment(config: Any) -> Adjustment:
    scale = 1.0
    if getattr(config, "logits_scaling", None):  # Granite divides
        scale = 1.0 / config.logits_scaling
    elif getattr(config, "logit_scale", None):  # Cohere multiplies
        scale = config.logit_scale
    return Adjustment(scale=scale, softcap=getattr(config, "final_logit_softcapping", None) or 0.0)
