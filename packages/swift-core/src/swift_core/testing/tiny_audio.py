"""A random model that hears, Qwen2-Audio-like, small enough for a test and made offline.

A tower as Whisper's reads log-mel spectra of at most a second; a linear layer hands them to a Qwen2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SECONDS = 1
"""Longest sound."""

RATE = 16_000
"""Samples in a second."""

_MEL_BINS = 16
_FRAMES = 100 * SECONDS
_TOKENS = ("<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>")
_TEXTS = ("Which tone is it?", "low middle high top", "How many? one two three")


def tiny_audio_model(folder: Path, *, seed: int = 0, width: int = 32, texts: Sequence[str] = _TEXTS) -> Path:
    """Save a random model that hears, with its processor and a chat template, into `folder`; return `folder`.

    Args:
        folder: Where; made when it is not there.
        seed: Of the weights.
        width: Of tower and decoder; weights are drawn as wide as it asks for.
        texts: What its tokenizer is trained on.
    """
    import torch
    import transformers

    from swift_core.demo.recipe import make_tokenizer
    from swift_core.quiet import quiet_loading
    from swift_core.testing.tiny_vision import chat_template

    quiet_loading()
    tokenizer = make_tokenizer(texts, 320)
    tokenizer.add_special_tokens({"additional_special_tokens": list(_TOKENS)})
    tokenizer.chat_template = chat_template("audio", "<|audio_bos|><|AUDIO|><|audio_eos|>")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.AutoModelForMultimodalLM.from_config(_config(width, tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    sounds = transformers.WhisperFeatureExtractor(
        feature_size=_MEL_BINS, sampling_rate=RATE, chunk_length=SECONDS, return_attention_mask=True
    )
    transformers.Qwen2AudioProcessor(
        feature_extractor=sounds, tokenizer=tokenizer, chat_template=tokenizer.chat_template
    ).save_pretrained(folder)
    return folder


def _config(width: int, tokenizer: Any) -> Any:
    import transformers

    ends = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return transformers.Qwen2AudioConfig(
        audio_config={
            "model_type": "qwen2_audio_encoder",
            "num_mel_bins": _MEL_BINS,
            "d_model": width,
            "encoder_layers": 2,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 2 * width,
            "max_source_positions": _FRAMES // 2,
            "initializer_range": width**-0.5,
        },
        text_config={
            "model_type": "qwen2",
            "hidden_size": width,
            "intermediate_size": 2 * width,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 512,
            "vocab_size": len(tokenizer),
            "initializer_range": width**-0.5,
            **ends,
        },
        audio_token_index=tokenizer.convert_tokens_to_ids(_TOKENS[0]),
    )
