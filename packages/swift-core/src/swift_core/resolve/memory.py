"""How much memory a run will need, within a factor of two: weights, gradients, optimizer, activations, logits.

Activations that a decoder layer keeps for its backward pass, per token, with h the hidden size, k the width of keys and
values and f that of the feed-forward layer (gated, attention without stored scores):

    numbers = 8 h + 2 k + 4 f

after Korthikanti et al., 2022, arXiv:2205.05198, section 4.1, with the attention scores left out and a gate added.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swift_core.contracts.settings import RunSettings
    from swift_core.resolve.model_facts import ModelFacts

TILE_NUMBERS = 1 << 24
"""Logits that are formed at one time, in numbers."""

_WIDTH = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on one device."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """Return the sum."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits


def estimate(
    settings: RunSettings,
    facts: ModelFacts,
    *,
    dtype: str,
    trainable: int,
    state_bytes: int,
    num_gradients: int,
    rows_per_batch: int,
    tokens_per_row: int,
    copies: int,
    num_outputs: int = 0,
) -> Memory:
    """Return the estimate for one device.

    Args:
        settings: Of the run.
        facts: Of the model.
        dtype: Of the weights.
        trainable: Number of trained weights.
        state_bytes: What the optimizer keeps.
        num_gradients: Gradients that exist at one time.
        rows_per_batch: Sequences of a micro-batch; a pair counts two.
        tokens_per_row: Longest sequence.
        copies: Of the model's weights: 2 with a frozen reference model.
        num_outputs: Of a classification head; 0 is the vocabulary.
    """
    width = _WIDTH.get(dtype, 4)
    all_trained = trainable >= facts.num_parameters
    trained_width = width_of_trained(dtype, trainable, facts)
    tokens = rows_per_batch * tokens_per_row
    weights = facts.num_parameters * width * copies + (0 if all_trained else trainable * trained_width)
    if settings.model.quantization_bit:
        weights = int(weights * settings.model.quantization_bit / (8 * width))
    return Memory(
        weights=weights,
        gradients=num_gradients * trained_width,
        optimizer=state_bytes,
        activations=_activations(settings, facts) * tokens * width,
        logits=3 * 4 * min(TILE_NUMBERS, tokens * max(num_outputs or facts.number("vocab_size"), 1)),
    )


def less_memory(settings: RunSettings) -> list[str]:
    """Return what to change in a run file when memory runs out in a step.

    The least of a loss first: the first ones leave what is trained as it is.
    """
    train, knobs = settings.train, []
    if (rows := train.per_device_train_batch_size) > 1:
        accumulation = train.gradient_accumulation_steps * 2
        knobs.append(
            f"train.per_device_train_batch_size={rows // 2} with train.gradient_accumulation_steps={accumulation}"
        )
    if not train.gradient_checkpointing:
        knobs.append("train.gradient_checkpointing=true")
    if settings.data.max_length > 256:
        knobs.append("a lower data.max_length")
    if train.tuner_strategy == "full":
        knobs.append("train.tuner_strategy=lora")
    return knobs or ["a smaller model, or model.quantization_bit=4 on a GPU"]


def smaller_weights(settings: RunSettings) -> list[str]:
    """Return what to change in a run file when memory runs out while a model is loaded."""
    knobs = ["model.dtype=bfloat16"] if settings.model.dtype in ("auto", "float32") else []
    if settings.train.tuner_strategy == "full":
        knobs.append("train.tuner_strategy=lora")
    return [*knobs, "a smaller model, or model.quantization_bit=4 on a GPU"]


def width_of_trained(dtype: str, trainable: int, facts: ModelFacts) -> int:
    """Return the bytes of a trained weight: that of the model when all are trained; adapters are kept in float32."""
    return _WIDTH.get(dtype, 4) if trainable >= facts.num_parameters else 4


def _activations(settings: RunSettings, facts: ModelFacts) -> int:
    """Return the numbers kept per token."""
    hidden = facts.number("hidden_size", "n_embd", "d_model")
    heads = facts.number("num_attention_heads", "n_head") or 1
    head_size = facts.number("head_dim") or hidden // heads
    keys = head_size * (facts.number("num_key_value_heads") or heads)
    layers = facts.number("num_hidden_layers", "n_layer")
    layer = 8 * hidden + 2 * keys + 4 * (facts.number("intermediate_size", "n_inner") or 4 * hidden)
    return layers * hidden + layer if settings.train.gradient_checkpointing else layers * layer
