"""Random models of the families whose attention differs: grouped heads, soft-capping, windows on some or all layers."""

import torch
import transformers

VOCABULARY = 61
WINDOW = 4
"""Tokens that a layer with a window sees: shorter than the rows of the tests."""

COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
WINDOWS = {"sliding_window": WINDOW}
MIXED = {**WINDOWS, "layer_types": ["sliding_attention", "full_attention"]}

CONFIGS = {
    "llama": lambda: transformers.LlamaConfig(**COMMON),
    "qwen2": lambda: transformers.Qwen2Config(**COMMON),
    "qwen2-window": lambda: transformers.Qwen2Config(**COMMON, **WINDOWS, use_sliding_window=True, max_window_layers=1),
    "qwen3": lambda: transformers.Qwen3Config(**COMMON, head_dim=4),
    "gemma2": lambda: transformers.Gemma2Config(**COMMON, **MIXED, head_dim=4),
    "gemma3": lambda: transformers.Gemma3TextConfig(**COMMON, **MIXED, head_dim=4),
    "mistral": lambda: transformers.MistralConfig(**COMMON, sliding_window=None),
    "mistral-window": lambda: transformers.MistralConfig(**COMMON, **WINDOWS),
}
CASES = [(name, kernel) for name in CONFIGS for kernel in ("sdpa", "eager") if (name, kernel) != ("gemma2", "sdpa")]
"""Gemma 2 caps its attention scores, which transformers does with its eager kernel alone."""


def build(family, kernel="sdpa", seed=0):
    """Return a random model; its weights are large enough for attention to matter."""
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(CONFIGS[family](), attn_implementation=kernel)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return model
