"""The forward pass of a model with a classification head, up to the head's logits at every token.

transformers' models form the head's logits at every token and then choose one token by its id: the last that is not
the padding token. Where padding is also what ends a text that is the wrong one, so here the attention mask says which
token is last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from swift_core.assemble.head import head_module
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Mapping


class ScoreHead:
    """The classification head of a model, and how to run the model up to its logits at every token."""

    def __init__(self, model: Any) -> None:
        """Find the head of `model` (a transformers model, adapted or not)."""
        found = head_module(model)
        if found is None:
            raise ValueError(f"{type(model).__name__} has no classification head")
        self.module = found

    def logits(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return the head's logits, [batch, time, label], float32, from a forward pass of its model, wrapped or not."""
        return self._forward(model, inputs)[0]

    def _forward(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return the head's own logits and those that the model makes of them."""
        captured: list[Tensor] = []
        handle = self.module.register_forward_hook(lambda _module, _inputs, output: captured.append(output))
        try:
            made = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False)
        finally:
            handle.remove()
        return captured[0].float(), made.logits.float()

    @torch.no_grad()
    def prove(self, model: nn.Module, inputs: Mapping[str, Tensor], pad_token_id: int) -> None:
        """Raise SwiftError unless the head's logits on one row are what the model gives for it.

        Where one token is taken, a row that ends in the padding token is left out: there transformers takes another.
        """
        length = int(inputs["attention_mask"][0].sum())
        row = {name: inputs[name][:1, :length] for name in ("input_ids", "attention_mask")}
        was_training = model.training
        model.eval()
        ours, made = self._forward(model, row)
        model.train(was_training)
        is_pooled = made.dim() < ours.dim()
        ours = last_token(ours, row["attention_mask"]) if is_pooled else ours
        is_exempt = is_pooled and int(row["input_ids"][0, -1]) == pad_token_id
        if made.shape != ours.shape or not (is_exempt or torch.equal(made, ours)):
            message = f"{type(model).__name__} does not score a text by its head's output at the last token."
            raise SwiftError(Problem("model-head", message, next_step="use a model that does"))


def last_token(values: Tensor, attention_mask: Tensor) -> Tensor:
    """Return the values at each row's last token that is no padding, [batch, time, ...] -> [batch, ...]."""
    time = attention_mask.shape[1]
    last = time - 1 - attention_mask.flip(1).argmax(1)
    return values[torch.arange(len(values), device=values.device), last]
