"""A random model of any of four families, small enough for a test, made offline in a fraction of a second."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

Family = Literal["llama", "mistral", "qwen2", "gemma"]

_TEXTS = ("What colour is the sky?", "The sky is blue.", "What is 3 + 4?", "The answer is 7.")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TinyShape:
    """How large the model is."""

    hidden_size: int = 32
    intermediate_size: int = 64
    num_hidden_layers: int = 2
    num_attention_heads: int = 4
    num_key_value_heads: int = 2


def tiny_model(folder: Path, *, family: Family = "llama", shape: TinyShape | None = None, seed: int = 0) -> Path:
    """Save a random model with a tokenizer and the ChatML template into `folder`; return `folder`.

    Args:
        folder: Where; made when it is not there.
        family: Architecture. Qwen2 has biases in its attention, Gemma ties its output head and scales its embeddings,
            Llama and Mistral have an output head of their own here.
        shape: How large; the default has some 40 thousand weights.
        seed: Of the weights.
    """
    import torch

    from swift_core.demo.recipe import make_tokenizer
    from swift_core.quiet import quiet_loading

    quiet_loading()
    tokenizer = make_tokenizer(_TEXTS, 300)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _model(family, shape or TinyShape(), tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _model(family: Family, shape: TinyShape, tokenizer: Any) -> Any:
    import transformers

    configs: dict[str, Any] = {
        "llama": transformers.LlamaConfig,
        "mistral": transformers.MistralConfig,
        "qwen2": transformers.Qwen2Config,
        "gemma": transformers.GemmaConfig,
    }
    own = {"head_dim": shape.hidden_size // shape.num_attention_heads} if family in ("gemma", "mistral") else {}
    config = configs[family](
        **dataclasses.asdict(shape),
        **own,
        vocab_size=len(tokenizer),
        max_position_embeddings=512,
        tie_word_embeddings=family == "gemma",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return transformers.AutoModelForCausalLM.from_config(config)
