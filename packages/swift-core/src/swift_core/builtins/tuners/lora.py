"""LoRA: small matrices beside the frozen ones.

    y = W x + scale * B (A x),   scale = alpha / rank, or alpha / sqrt(rank) when rank-stabilised

Hu et al., 2021, arXiv:2106.09685, section 4.1. Rank-stabilised: Kalajdzievski, 2023, arXiv:2312.03732. LoRA+: B learns
`loraplus_lr_ratio` times as fast as A; Hayou et al., 2024, arXiv:2402.12354, section 4. On peft.

PiSSA and OLoRA begin from parts of W, which is less by them: W = W_res + scale * B0 A0. PiSSA takes the largest
singular values (Meng et al., 2024, arXiv:2404.02948, section 3), OLoRA the first columns of a QR decomposition
(Büyükakyüz, 2024, arXiv:2406.01775, section 3). What is saved is the update of W itself, of twice the rank:

    scale * (B A - B0 A0) = scale * [B, -B0] [A; A0]
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from swift_core.builtins.tuners import _initial
from swift_core.builtins.tuners._adapter import Adapter, heads_of, task_of
from swift_core.builtins.tuners._modules import saved_whole, targets
from swift_core.contracts.checks import require_between, require_nonnegative, require_positive

if TYPE_CHECKING:
    from pathlib import Path

    from peft import LoraConfig
    from torch import Tensor
    from transformers import PreTrainedModel

_FROM_BASE = ("pissa", "olora")
"""Initial weights that are taken out of the base weights."""


@dataclass(frozen=True, kw_only=True)
class Lora(Adapter):
    """Train low-rank matrices beside the model's own, which stay frozen."""

    lora_rank: int = 8
    """Rank of the update, >= 1; more can learn more and costs more."""

    lora_alpha: float = 16.0
    """Strength of the update, > 0: it is scaled by alpha / rank."""

    lora_dropout: float = 0.0
    """Share of the update's inputs dropped in training, in [0, 1)."""

    target_modules: str | list[str] = "all-linear"
    """Which modules: `all-linear` (all but the output head), a list of name endings, or a regular expression. Of a
    model that sees images, `part:language`, `part:vision` and `part:aligner` are the linear modules of a part."""

    use_rslora: bool = False
    """Scale by alpha / sqrt(rank), which keeps high ranks stable."""

    modules_to_save: list[str] = field(default_factory=list)
    """Modules trained whole and saved with the adapter: `embed_tokens` when there are new tokens, `part:aligner`."""

    init_lora_weights: Literal["default", "gaussian", "orthogonal", "pissa", "olora"] = "default"
    """How A is drawn, and the update starts at zero; or `pissa` or `olora`, which begin from parts of the weights."""

    pissa_niter: int = 0
    """Rounds of a fast singular value decomposition for `pissa`, >= 0; 0 is the exact one."""

    loraplus_lr_ratio: float = 1.0
    """Learning rate of B over that of A (LoRA+), > 0; the paper takes 16."""

    peft_type: ClassVar[str] = "LORA"
    module_options: ClassVar[tuple[str, ...]] = ("target_modules", "modules_to_save")
    first_weights: ClassVar[dict[str, list[str]]] = {"adapter": [], "init_lora_weights": ["pissa", "olora"]}
    said_by_adapter: ClassVar[dict[str, str]] = {
        "lora_rank": "r",
        "lora_alpha": "lora_alpha",
        "lora_dropout": "lora_dropout",
        "use_rslora": "use_rslora",
    }
    use_dora: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_positive(lora_rank=self.lora_rank, lora_alpha=self.lora_alpha, loraplus_lr_ratio=self.loraplus_lr_ratio)
        require_between(0.0, 1.0, lora_dropout=self.lora_dropout)
        require_nonnegative(pissa_niter=self.pissa_niter)
        if not self.target_modules:
            raise ValueError("target_modules must name at least one module, got none")
        if self.init_lora_weights == "orthogonal" and self.lora_rank % 2:
            raise ValueError(f"lora_rank must be even for orthogonal initial weights, got {self.lora_rank}")
        if self.pissa_niter and self.init_lora_weights != "pissa":
            raise ValueError(f"pissa_niter goes with init_lora_weights pissa, got {self.init_lora_weights}")
        Adapter.__post_init__(self)

    def prepare_model(self, model: PreTrainedModel) -> PreTrainedModel:
        """Return `model` with adapters in its target modules; raise ValueError when it lacks one of them."""
        takes_from_base = self.init_lora_weights in _FROM_BASE and not self.adapter
        if takes_from_base and getattr(model, "is_quantized", False):
            raise ValueError(f"{self.init_lora_weights} changes the base weights, and quantised ones cannot be changed")
        adapted = super().prepare_model(model)
        if takes_from_base:
            _initial.keep(adapted)
        return adapted

    def config(self, model: PreTrainedModel) -> LoraConfig:
        """Return peft's settings of a new adapter."""
        import peft

        init: Any = True if self.init_lora_weights == "default" else self.init_lora_weights
        if self.pissa_niter:
            init = f"pissa_niter_{self.pissa_niter}"
        return peft.LoraConfig(
            task_type=task_of(model),
            exclude_modules=heads_of(model),
            r=self.lora_rank,
            lora_alpha=cast("int", self.lora_alpha),  # peft divides it only; its annotation is too narrow
            lora_dropout=self.lora_dropout,
            target_modules=targets(model, self.target_modules),
            use_rslora=self.use_rslora,
            use_dora=self.use_dora,
            modules_to_save=saved_whole(model, self.modules_to_save),
            init_lora_weights=init,
        )

    def settled(self, model: PreTrainedModel) -> PreTrainedModel:
        """Return `model`, in which the adapters of a 16-bit model multiply in its type; their weights stay float32."""
        return _multiplied_in_16_bits(model)

    def lr_scale(self, name: str) -> float:
        """Return the factor of the learning rate of a trained parameter."""
        return self.loraplus_lr_ratio if ".lora_B." in name or ".lora_embedding_B" in name else 1.0

    def save_pretrained(self, model: PreTrainedModel, directory: Path) -> None:
        """Write the adapter as safetensors, as an update of the model's own weights."""
        if self.init_lora_weights in _FROM_BASE and not self.adapter:
            _save_update(model, _initial.kept(model), directory)
        else:
            Adapter.save_pretrained(self, model, directory)


def _save_update(model: Any, initial: Any, directory: Path) -> None:
    """Write B A - B0 A0 as one adapter of twice the rank."""
    import peft
    import torch
    from safetensors.torch import save_file

    config = copy.deepcopy(model.peft_config["default"])
    first = {name.replace(".default", ""): value.cpu() for name, value in initial.items()}
    state: dict[str, Tensor] = {}
    for name, value in peft.get_peft_model_state_dict(model, save_embedding_layers=False).items():
        value = value.detach().cpu()
        if name.endswith("lora_A.weight"):
            value = torch.cat([value, first[name]])
        elif name.endswith("lora_B.weight"):
            value = torch.cat([value, -first[name]], 1)
        state[name] = value.contiguous()
    config.r *= 2
    config.lora_alpha *= math.sqrt(2) if config.use_rslora else 2
    config.init_lora_weights, config.inference_mode = True, True
    directory.mkdir(parents=True, exist_ok=True)
    save_file(state, directory / "adapter_model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(directory)


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
