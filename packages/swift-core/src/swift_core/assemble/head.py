"""Classification heads: which model class has one, how a new one is drawn, and what a run kept of one.

A causal model's folder has no weights of such a head. They are drawn by the run's seed alone, kept in float32 whatever
the type of the other weights, since they are trained whole and their steps would be lost in bfloat16.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swift_core.contracts.procedure import HEAD_FILE
from swift_core.plugins.remote_code import may_run
from swift_core.resolve.model_facts import read_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor, nn
    from transformers import PreTrainedModel

HEADS = {
    "causal_lm": "AutoModelForCausalLM",
    "sequence_classification": "AutoModelForSequenceClassification",
    "token_classification": "AutoModelForTokenClassification",
    "dual_encoder": "AutoModel",
}
"""Head -> the class of transformers that loads a model with it."""

OF_CLASSES = ("sequence_classification", "token_classification")
"""Heads that are drawn where a model's folder has no weights of them."""

NAMES = ("score", "classifier")
"""What transformers calls the module of a classification head."""


def model_class(head: str, folder: Path) -> Any:
    """Return the class of transformers that loads the model in `folder` with `head`.

    A model whose configuration has a vision part, and that transformers knows as one of images and text, is loaded
    with it.
    """
    import transformers

    if head == "causal_lm" and sees_images(folder):
        return transformers.AutoModelForImageTextToText
    if head == "causal_lm" and hears_sounds(folder):
        return transformers.AutoModelForMultimodalLM
    return getattr(transformers, HEADS[head])


def sees_images(folder: Path) -> bool:
    """Say whether the model in `folder` reads images beside text."""
    return read_model(folder).has_vision and _is_one_of(folder, "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING")


def hears_sounds(folder: Path) -> bool:
    """Say whether the model in `folder` reads sounds beside text, and no images."""
    facts = read_model(folder)
    return facts.has_audio and not facts.has_vision and _is_one_of(folder, "MODEL_FOR_MULTIMODAL_LM_MAPPING")


def _is_one_of(folder: Path, mapping: str) -> bool:
    """Say whether transformers knows the model in `folder` as one of those in a mapping of its own."""
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=may_run(folder))
    except (OSError, ValueError, KeyError, ImportError):
        return False  # loading the model will say what is wrong with it
    return type(config) in getattr(transformers, mapping)


def head_module(model: Any) -> nn.Module | None:
    """Return the classification head of `model`, adapted or not; None when it has none."""
    base = model.get_base_model() if hasattr(model, "peft_config") else model
    return next((getattr(base, name) for name in NAMES if hasattr(base, name)), None)


def settle_head(model: PreTrainedModel, missing: Sequence[str], seed: int) -> None:
    """Draw the head's weights where the folder had none, and keep the head in float32.

    Args:
        model: With a classification head.
        missing: Names of the weights that its folder lacks.
        seed: Of what is drawn.

    Raises:
        ValueError: Its head is not where transformers has it.
    """
    import torch

    head = head_module(model)
    if head is None:
        raise ValueError(f"{type(model).__name__} has no module {' or '.join(NAMES)} on its hidden states")
    cast_needed = any(parameter.dtype != torch.float32 for parameter in head.parameters())
    head.float()
    generator = torch.Generator().manual_seed(seed)
    drawn = {name.partition(".")[2] for name in missing}
    with torch.no_grad():
        for name, parameter in head.named_parameters():
            if name in drawn and parameter.dim() > 1:
                width = getattr(model.config.get_text_config(), "initializer_range", 0.02)
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * width)
            elif name in drawn:
                parameter.zero_()
    if cast_needed:
        head.register_forward_pre_hook(in_own_type)


def in_own_type(head: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return the input of a head in the type of its weights; a forward pre-hook."""
    dtype = next(head.parameters()).dtype
    return tuple(value.to(dtype) for value in inputs)


@dataclass(frozen=True, slots=True)
class KeptHead:
    """The head that a run trained."""

    name: str = "causal_lm"
    rows: str = ""
    """What a row of its data was: `classes`, `scores` or `steps`."""

    conversations: bool = False
    """Whether the chat template wrote its texts."""

    config: dict[str, Any] = field(default_factory=dict)

    @property
    def labels(self) -> list[str]:
        """Names of its outputs."""
        return list(self.config["id2label"].values())


def read_head(folder: Path) -> KeptHead:
    """Return the head that `folder` was trained with; a language model's where nothing is kept.

    Raises:
        ValueError: The file is broken.
    """
    file = folder / HEAD_FILE
    if not file.is_file():
        return KeptHead()
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return KeptHead(content["model_head"], content["rows"], content["conversations"], _config(content))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from error


def _config(content: Mapping[str, Any]) -> dict[str, Any]:
    labels = {int(index): label for index, label in content["id2label"].items()}
    config = {
        "num_labels": content["num_labels"],
        "id2label": labels,
        "label2id": {label: index for index, label in labels.items()},
    }
    return config | ({"problem_type": content["problem_type"]} if content["problem_type"] else {})
