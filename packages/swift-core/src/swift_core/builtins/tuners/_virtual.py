"""What tuners with virtual tokens have in common: tokens that stand before every row and are trained."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn
    from transformers import PreTrainedModel

EXCLUDED = {
    "train.packing": "its virtual tokens stand before each row, and a line has several rows",
    "train.share_prompt": "its virtual tokens stand before each row, and a line has two answers",
    "train.sync_ref_model": "virtual tokens cannot be mixed into the weights of a reference model",
    "device.parallel_method=fsdp2": "virtual tokens are made outside the layers that are sharded",
    "device.parallel_method=zero3": "virtual tokens are made outside the layers that are sharded",
}
"""Keys of the run file that do not go with virtual tokens, and why."""

EXCLUDED_BY_PREFIX = {
    "train.packing": "its virtual tokens stand before each row, and a line has several rows",
    "train.share_prompt": "its virtual tokens stand before each row, and a line has two answers",
    "train.sync_ref_model": "virtual tokens cannot be mixed into the weights of a reference model",
    "train.gradient_checkpointing": "recomputing a layer would add its keys and values to the cache again",
    "device.parallel_method=fsdp2": "virtual tokens are made outside the layers that are sharded",
    "device.parallel_method=zero3": "virtual tokens are made outside the layers that are sharded",
}
"""The same for virtual keys and values."""


class VirtualTokens:
    """Declarations of a tuner whose model reads virtual tokens before every row."""

    adds_tokens: ClassVar[bool] = True
    heads: ClassVar[tuple[str, ...]] = ("causal_lm",)
    """Heads of models that it can be applied to."""

    module_options: ClassVar[tuple[str, ...]] = ()


def without_virtual_logits(model: Any, num_virtual_tokens: int) -> PreTrainedModel:
    """Return a prompt-tuned `model` whose output head reads the real tokens alone, as every caller expects.

    peft's own loss, which is asked for by `labels`, counts the virtual tokens, so they stay for it; and generation
    calls the model inside, where only the last token counts. There virtual tokens stand before the padding on the left:
    peft drops the positions, which would count that padding, so they are formed from the mask.
    """
    inside: Callable[..., Any] = model.forward
    prepare: Callable[..., Any] = model.prepare_inputs_for_generation
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

    def prepare_with_positions(*args: Any, **kwargs: Any) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Position ids are not supported", category=UserWarning)
            prepared = prepare(*args, **kwargs)
        given = prepared.get("inputs_embeds") if prepared.get("input_ids") is None else prepared["input_ids"]
        positions = (prepared["attention_mask"].long().cumsum(-1) - 1).clamp(min=0)
        return {**prepared, "position_ids": positions[:, -given.shape[1] :]}

    head.register_forward_pre_hook(real_tokens)
    model.forward, model.prepare_inputs_for_generation = forward, prepare_with_positions
    prepared: PreTrainedModel = model
    return prepared
