"""LoRA: small matrices beside the frozen ones.

    y = W x + scale * B (A x),   scale = alpha / rank, or alpha / sqrt(rank) when rank-stabilised

Hu et al., 2021, arXiv:2106.09685, section 4.1. Rank-stabilised: Kalajdzievski, 2023, arXiv:2312.03732. On peft.
"""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from swift_core.contracts.checks import require_between, require_positive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from peft import LoraConfig
    from transformers import PreTrainedModel


_TASKS = {"ForSequenceClassification": "SEQ_CLS", "ForTokenClassification": "TOKEN_CLS"}
"""End of the name of a model's class -> peft's task."""

_HEADS = ("score", "classifier")
"""What transformers calls the module of a classification head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """Train low-rank matrices beside the model's own, which stay frozen."""

    lora_rank: int = 8
    """Rank of the update, >= 1; more can learn more and costs more."""

    lora_alpha: float = 16.0
    """Strength of the update, > 0: it is scaled by alpha / rank."""

    lora_dropout: float = 0.0
    """Share of the update's inputs dropped in training, in [0, 1)."""

    target_modules: str | list[str] = "all-linear"
    """Which modules: `all-linear` (all but the output head), a list of name endings, or a regular expression."""

    use_rslora: bool = False
    """Scale by alpha / sqrt(rank), which keeps high ranks stable."""

    modules_to_save: list[str] = field(default_factory=list)
    """Modules trained whole and saved with the adapter, such as `embed_tokens` when there are new tokens."""

    init_lora_weights: Literal["default", "gaussian", "orthogonal"] = "default"
    """How A is drawn; the update starts at zero in every case."""

    trains_adapter: ClassVar[bool] = True
    artifact: ClassVar[str] = "adapter"

    def __post_init__(self) -> None:
        require_positive(lora_rank=self.lora_rank, lora_alpha=self.lora_alpha)
        require_between(0.0, 1.0, lora_dropout=self.lora_dropout)
        if not self.target_modules:
            raise ValueError("target_modules must name at least one module, got none")
        if self.init_lora_weights == "orthogonal" and self.lora_rank % 2:
            raise ValueError(f"lora_rank must be even for orthogonal initial weights, got {self.lora_rank}")

    def prepare_model(self, model: PreTrainedModel) -> PreTrainedModel:
        """Return `model` with adapters in its target modules; raise ValueError when it has none of them."""
        import peft

        if getattr(model, "is_quantized", False):
            model = peft.prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
        with _without_peft_warnings():
            return _multiplied_in_16_bits(peft.get_peft_model(model, self._config(model)))

    def _config(self, model: PreTrainedModel) -> LoraConfig:
        import peft

        init: Any = True if self.init_lora_weights == "default" else self.init_lora_weights
        return peft.LoraConfig(
            task_type=_task(model),
            # A classification head is trained whole and saved with the adapter; peft adds it to `modules_to_save`.
            exclude_modules=[name for name in _HEADS if hasattr(model, name)] or None,
            r=self.lora_rank,
            lora_alpha=cast("int", self.lora_alpha),  # peft divides it only; its annotation is too narrow
            lora_dropout=self.lora_dropout,
            target_modules=self.target_modules,
            use_rslora=self.use_rslora,
            modules_to_save=list(self.modules_to_save) or None,
            init_lora_weights=init,
        )

    def reference(self, model: PreTrainedModel) -> AbstractContextManager[object] | None:
        """Return a context in which the adapters are off; a model without adapters is its own reference."""
        disable = getattr(model, "disable_adapter", nullcontext)
        return cast("AbstractContextManager[object]", disable())

    def save_pretrained(self, model: PreTrainedModel, directory: Path) -> None:
        """Write the adapter as safetensors."""
        # peft would otherwise ask the hub whether the vocabulary grew.
        cast("Any", model).save_pretrained(directory, save_embedding_layers=False)

    def from_pretrained(self, model: PreTrainedModel, directory: Path) -> PreTrainedModel:
        """Return `model` with the adapter of `directory`, ready to answer."""
        import peft

        with _without_peft_warnings():
            return _multiplied_in_16_bits(peft.PeftModel.from_pretrained(model, str(directory)))


def _multiplied_in_16_bits(model: Any) -> PreTrainedModel:
    """Return `model`, in which the adapters of a 16-bit model multiply in its type; their weights stay float32.

    peft turns the input of every adapted layer into float32, and each such copy is kept for the backward pass: a third
    of a step's memory. Under autocast it is the small weights that are turned, once a forward pass.
    """
    import torch
    from peft.tuners.tuners_utils import BaseTunerLayer

    base = model.get_base_model()
    if base.dtype not in (torch.bfloat16, torch.float16):
        return cast("PreTrainedModel", model)
    head = base.get_output_embeddings()  # is also called outside the forward pass, without autocast
    for module in model.modules():
        if isinstance(module, BaseTunerLayer) and module is not head:
            cast("Any", module).cast_input_dtype_enabled = False
    base.forward = torch.autocast(base.device.type, dtype=base.dtype)(base.forward)
    return cast("PreTrainedModel", model)


def _task(model: PreTrainedModel) -> str:
    """Return peft's name for what the model's head does."""
    name = type(model).__name__
    return next((task for ending, task in _TASKS.items() if name.endswith(ending)), "CAUSAL_LM")


@contextmanager
def _without_peft_warnings() -> Iterator[None]:
    """Keep quiet that peft reads a property which transformers renames in its version 6: users cannot mend it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        yield
