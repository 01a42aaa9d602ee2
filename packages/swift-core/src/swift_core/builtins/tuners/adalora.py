"""AdaLoRA: updates in the form of a singular value decomposition, whose ranks are dealt out while training.

    y = W x + scale / rank * P (diag(E) (Q x)),    penalty: mean over P and Q of ||P^T P - 1|| and ||Q Q^T - 1||

Each step judges every singular value by sensitivity and its uncertainty, smoothed, and sets those of least importance
to 0, so that what remains falls from `init_r` to `target_r` a module, along a cubic curve between `tinit` and the last
`tfinal` steps. Zhang et al., 2023, arXiv:2303.10512, eq. 3, 7 to 10 and 19. On peft.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from swift_core.builtins.tuners._adapter import Adapter, heads_of, task_of
from swift_core.builtins.tuners._modules import saved_whole, targets
from swift_core.contracts.checks import require_between, require_nonnegative, require_positive

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peft import AdaLoraConfig
    from torch import Tensor
    from transformers import PreTrainedModel, TrainerCallback


@dataclass(frozen=True, kw_only=True)
class AdaLora(Adapter):
    """Train low-rank matrices, and move rank to where it matters most."""

    init_r: int = 12
    """Rank of every module at first, > target_r."""

    target_r: int = 8
    """Mean rank at the end, >= 1."""

    lora_alpha: float = 32.0
    """Strength of the update, > 0: it is scaled by alpha / init_r."""

    lora_dropout: float = 0.0
    """Share of the update's inputs dropped in training, in [0, 1)."""

    target_modules: str | list[str] = "all-linear"
    """Which modules: `all-linear` (all but the output head), a list of name endings, or a regular expression."""

    modules_to_save: list[str] = field(default_factory=list)
    """Modules trained whole and saved with the adapter."""

    tinit: float = 0.1
    """Steps before ranks fall, >= 0; a value below 1 is a share of all steps."""

    tfinal: float = 0.2
    """Steps at the end in which ranks stay, >= 0; a value below 1 is a share of all steps."""

    delta_t: int = 1
    """Steps between two allocations, >= 1."""

    beta1: float = 0.85
    """Smoothing of the sensitivity, in (0, 1)."""

    beta2: float = 0.85
    """Smoothing of its uncertainty, in (0, 1)."""

    orth_reg_weight: float = 0.5
    """Weight of the penalty that keeps P and Q orthogonal, >= 0."""

    peft_type: ClassVar[str] = "ADALORA"
    module_options: ClassVar[tuple[str, ...]] = ("target_modules", "modules_to_save")
    said_by_adapter: ClassVar[dict[str, str]] = {
        "init_r": "init_r",
        "target_r": "target_r",
        "lora_alpha": "lora_alpha",
        "lora_dropout": "lora_dropout",
    }
    excludes: ClassVar[dict[str, str]] = {
        "train.update_in_backward": "it judges ranks by gradients, which are gone after an update in the backward pass",
        "device.parallel_method=fsdp2": "it judges ranks by whole gradients",
        "device.parallel_method=zero2": "it judges ranks by whole gradients",
        "device.parallel_method=zero3": "it judges ranks by whole gradients",
    }

    def __post_init__(self) -> None:
        require_positive(target_r=self.target_r, lora_alpha=self.lora_alpha, delta_t=self.delta_t)
        require_nonnegative(tinit=self.tinit, tfinal=self.tfinal, orth_reg_weight=self.orth_reg_weight)
        require_between(0.0, 1.0, lora_dropout=self.lora_dropout, beta1=self.beta1, beta2=self.beta2)
        for name in ("beta1", "beta2"):
            if not getattr(self, name):
                raise ValueError(f"{name} must be in (0, 1), got 0.0")
        if not self.init_r > self.target_r:
            raise ValueError(f"init_r must be above target_r {self.target_r}, got {self.init_r}")
        if not self.target_modules:
            raise ValueError("target_modules must name at least one module, got none")
        super().__post_init__()

    def config(self, model: PreTrainedModel) -> AdaLoraConfig:
        """Return peft's settings of a new adapter; its steps are set when training begins."""
        import peft

        return peft.AdaLoraConfig(
            task_type=task_of(model),
            init_r=self.init_r,
            target_r=self.target_r,
            lora_alpha=self.lora_alpha,  # type: ignore[arg-type]  # peft only divides it
            lora_dropout=self.lora_dropout,
            target_modules=targets(model, self.target_modules),
            exclude_modules=heads_of(model),
            modules_to_save=saved_whole(model, self.modules_to_save),
            deltaT=self.delta_t,
            beta1=self.beta1,
            beta2=self.beta2,
            orth_reg_weight=self.orth_reg_weight,
            total_step=1,
        )

    def settled(self, model: PreTrainedModel) -> PreTrainedModel:
        """Return `model`, whose adapter goes on judging ranks when it was trained before."""
        return model

    def phases(self, num_steps: int) -> tuple[int, int]:
        """Return the steps before ranks fall and those after; raise ValueError when none is left between them."""
        first, last = (math.ceil(t * num_steps) if t < 1 else int(t) for t in (self.tinit, self.tfinal))
        if first >= num_steps - last:
            raise ValueError(f"tinit {first} and tfinal {last} leave no step of {num_steps} for ranks to fall")
        return first, last

    def callbacks(self) -> Sequence[TrainerCallback]:
        """Return what deals out ranks after each step."""
        from swift_core.builtins.tuners._ranks import Ranks

        return [Ranks(self.phases)]

    def penalty(self, model: PreTrainedModel) -> Tensor:
        """Return what is added to the loss of each step."""
        import torch

        distances = []
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and (".lora_A." in name or ".lora_B." in name):
                product = parameter @ parameter.T if ".lora_A." in name else parameter.T @ parameter
                distances.append(torch.linalg.matrix_norm(product - torch.eye(len(product), device=product.device)))
        return self.orth_reg_weight * torch.stack(distances).mean()
