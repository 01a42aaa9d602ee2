"""What tuners with virtual tokens have in common: tokens that stand before every row and are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn
    from transformers import PreTrainedModel

REASON = "its virtual tokens stand before each row, and rows in one line would all see those of the first"


class VirtualTokens:
    """Declarations of a tuner whose model reads virtual tokens before every row."""

    adds_tokens: ClassVar[bool] = True
    heads: ClassVar[tuple[str, ...]] = ("causal_lm",)
    """Heads of models that it can be applied to."""

    module_options: ClassVar[tuple[str, ...]] = ()


def without_virtual_logits(model: Any, num_virtual_tokens: int) -> PreTrainedModel:
    """Return a prompt-tuned `model` whose output head reads the real tokens alone, as every caller expects.

    peft's own loss, which is asked for by `labels`, counts the virtual tokens, so they stay for it; and generation
    calls the model inside, where only the last token counts.
    """
    inside: Callable[..., Any] = model.forward
    head = model.get_base_model().get_output_embeddings()
    cut = False

    def forward(*args: Any, **kwargs: Any) -> Any:
        nonlocal cut
        cut = kwargs.get("labels") is None
        try:
            return inside(*args, **kwargs)
        finally:
            cut = False

    def real_tokens(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0][:, num_virtual_tokens:], *inputs[1:]) if cut else inputs

    head.register_forward_pre_hook(real_tokens)
    model.forward = forward
    prepared: PreTrainedModel = model
    return prepared
