"""Whether a model can keep rows apart that stand in one line, as far as its configuration tells.

Attention can: a token looks at the tokens that it is shown. What goes from token to token by another way cannot be told
where a row ends. What a configuration does not tell is proved before training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

ATTENTION = {"full_attention", "sliding_attention"}
"""Kinds of layers whose tokens see what a mask shows them."""

CARRIES_STATE = (
    *("state_size", "ssm_state_size", "mamba_d_state", "mamba_d_ssm", "mamba_state_dim", "conv_L_cache", "lru_width"),
    *("linear_num_value_heads", "linear_attn_config", "hybrid_override_pattern", "attn_layer_period", "rwkv_version"),
)
"""Keys of the configurations of models that carry a state from token to token."""

MODELS_WITH_STATE = ("rwkv", "xlstm", "mamba", "mamba2", "recurrent_gemma", "minimax")


def why_not_isolated(config: Mapping[str, Any]) -> str:
    """Return why the model of a `config.json` cannot keep rows of one line apart; empty when nothing speaks for it."""
    nested = config.get("text_config")
    text: Mapping[str, Any] = nested if nested and not isinstance(nested, str) else config
    others = sorted(set(text.get("layer_types") or ()) - ATTENTION)
    if "chunked_attention" in others or text.get("attention_chunk_size"):
        return "its layers attend in chunks that are counted from the start of a line"
    if others:
        return f"it has layers of the kind {', '.join(others)}, which carry what they read past the end of a row"
    keys = [key for key in CARRIES_STATE if text.get(key)]
    if keys or text.get("model_type") in MODELS_WITH_STATE:
        named = f" ({keys[0]} in its configuration)" if keys else ""
        return f"it carries a state from token to token{named}, past the end of a row"
    if text.get("alibi") or text.get("model_type") in ("bloom", "mpt"):
        return "it counts positions from the start of a line (ALiBi)"
    return ""
