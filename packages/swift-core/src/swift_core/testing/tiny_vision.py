"""A random model that sees images, of either of two families, small enough for a test and made offline.

LLaVA-like: a CLIP tower, a projector of two layers, a Llama. Every image has as many tokens as it has patches.
Qwen2-VL-like: a tower for images of any size, whose patches are merged by fours, and positions in two dimensions
(M-RoPE). Its folder is laid out as the published ones are.

What makes so small a model learn to see in some hundred steps: weights are drawn as wide as its width asks for, since
with the 0.02 of models a hundred times wider what a tower says would fade on its way and positions with it; and places
of patches turn by angles that differ, since M-RoPE gives rows and columns the slowest of a head's few frequencies.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

VisionFamily = Literal["llava", "qwen2_vl"]

_TEXTS = ("What colour is it?", "red green blue yellow", "How many? one two three four", "Where? left right top bottom")

_TURNS = """{%- for message in messages %}{{- '<|im_start|>' + message['role'] + '\n' }}
{%- if message['content'] is string %}{{- message['content'] }}
{%- else %}
{%- for part in message['content'] %}
{%- if part['type'] == 'KIND' %}{{- 'WRITTEN' }}{%- else %}{{- part['text'] }}{%- endif %}
{%- endfor %}
{%- endif %}
{{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class TinyVisionShape:
    """How large the model is."""

    hidden_size: int = 32
    intermediate_size: int = 64
    num_hidden_layers: int = 2
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    vision_hidden_size: int = 32
    num_vision_layers: int = 2
    patch_size: int = 7
    """Pixels on a side."""

    image_size: int = 28
    """Pixels on a side: of every image in a LLaVA-like model; in a Qwen2-VL-like one of the smallest."""


def tiny_vision_model(
    folder: Path,
    *,
    family: VisionFamily = "llava",
    shape: TinyVisionShape | None = None,
    seed: int = 0,
    texts: Sequence[str] = _TEXTS,
) -> Path:
    """Save a random model that sees images, with its processor and a chat template, into `folder`; return `folder`.

    Args:
        folder: Where; made when it is not there.
        family: Architecture.
        shape: How large; the default has some 60 thousand weights.
        seed: Of the weights.
        texts: What its tokenizer is trained on.
    """
    import torch

    from swift_core.demo.recipe import make_tokenizer
    from swift_core.quiet import quiet_loading

    quiet_loading()
    making = _MAKERS[family]
    tokenizer = make_tokenizer(texts, 320)
    tokenizer.add_special_tokens({"additional_special_tokens": list(making.tokens)})
    tokenizer.chat_template = chat_template("image", making.written)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = making.model(shape or TinyVisionShape(), tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    making.save_processor(shape or TinyVisionShape(), tokenizer, folder)
    return folder


def chat_template(kind: str, written: str) -> str:
    """Return a chat template that writes `written` for a part of the type `kind`."""
    return _TURNS.replace("KIND", kind).replace("WRITTEN", written)


def _text_config(shape: TinyVisionShape, tokenizer: Any) -> dict[str, Any]:
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    ends = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    sizes = {name: getattr(shape, name) for name in names}
    widths = {"vocab_size": len(tokenizer), "initializer_range": shape.hidden_size**-0.5}
    return {**sizes, **ends, **widths, "max_position_embeddings": 512}


class _Llava:
    tokens = ("<image>",)
    written = "<image>"

    @staticmethod
    def model(shape: TinyVisionShape, tokenizer: Any) -> Any:
        import transformers

        config = transformers.LlavaConfig(
            vision_config=transformers.CLIPVisionConfig(
                hidden_size=shape.vision_hidden_size,
                intermediate_size=2 * shape.vision_hidden_size,
                num_hidden_layers=shape.num_vision_layers,
                num_attention_heads=shape.num_attention_heads,
                image_size=shape.image_size,
                patch_size=shape.patch_size,
                initializer_range=shape.vision_hidden_size**-0.5,
            ),
            text_config=transformers.LlamaConfig(**_text_config(shape, tokenizer)),
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
            image_seq_length=(shape.image_size // shape.patch_size) ** 2,
            vision_feature_layer=-1,
            vision_feature_select_strategy="default",
        )
        return transformers.AutoModelForImageTextToText.from_config(config)

    @staticmethod
    def save_processor(shape: TinyVisionShape, tokenizer: Any, folder: Path) -> None:
        import transformers
        from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

        side = shape.image_size
        images = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
        transformers.LlavaProcessor(
            image_processor=images,
            tokenizer=tokenizer,
            patch_size=shape.patch_size,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
            chat_template=tokenizer.chat_template,
        ).save_pretrained(folder)


class _Qwen2VL:
    tokens = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
    written = "<|vision_start|><|image_pad|><|vision_end|>"

    @staticmethod
    def model(shape: TinyVisionShape, tokenizer: Any) -> Any:
        import transformers

        half = shape.hidden_size // shape.num_attention_heads // 2
        config = transformers.Qwen2VLConfig(
            vision_config={
                "depth": shape.num_vision_layers,
                "embed_dim": shape.vision_hidden_size,
                "hidden_size": shape.hidden_size,
                "num_heads": shape.num_attention_heads,
                "mlp_ratio": 2,
                "patch_size": shape.patch_size,
                "spatial_merge_size": 2,
                "temporal_patch_size": 2,
                "initializer_range": shape.vision_hidden_size**-0.5,
            },
            text_config={
                **_text_config(shape, tokenizer),
                "rope_parameters": {
                    "rope_type": "default",
                    "rope_theta": 2.0,
                    "mrope_section": [half - 2 * (half // 3), half // 3, half // 3],
                },
            },
            **{
                f"{name}_token_id": tokenizer.convert_tokens_to_ids(token)
                for name, token in zip(("vision_start", "vision_end", "image", "video"), _Qwen2VL.tokens, strict=True)
            },
        )
        return transformers.AutoModelForImageTextToText.from_config(config)

    @staticmethod
    def save_processor(shape: TinyVisionShape, tokenizer: Any, folder: Path) -> None:
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

        pixels = {"shortest_edge": shape.image_size**2, "longest_edge": (4 * shape.image_size) ** 2}
        Qwen2VLImageProcessorPil(patch_size=shape.patch_size, size=pixels).save_pretrained(folder)
        file = folder / "preprocessor_config.json"
        content = json.loads(file.read_text(encoding="utf-8")) | {"processor_class": "Qwen2VLProcessor"}
        file.write_text(json.dumps(content, indent=2), encoding="utf-8")


_MAKERS: dict[str, Any] = {"llava": _Llava, "qwen2_vl": _Qwen2VL}
