"""(IA)3: activations times learned vectors, and nothing else is trained.

    k <- l_k * (W_k x),   v <- l_v * (W_v x),   feed-forward: W_down (l_ff * h)        l starts at 1

Liu et al., 2022, arXiv:2205.05638, section 3.3. On peft.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from swift_core.builtins.tuners._adapter import Adapter, heads_of, task_of
from swift_core.builtins.tuners._modules import saved_whole, targets

if TYPE_CHECKING:
    from peft import IA3Config
    from transformers import PreTrainedModel


@dataclass(frozen=True, kw_only=True)
class IA3(Adapter):
    """Train one factor for each channel of keys, values and feed-forward layers: a few thousand weights."""

    target_modules: list[str] = field(default_factory=lambda: ["k_proj", "v_proj", "down_proj"])
    """Ends of names of the modules whose outputs are scaled; those of `feedforward_modules` are among them."""

    feedforward_modules: list[str] = field(default_factory=lambda: ["down_proj"])
    """Those of them whose inputs are scaled instead."""

    modules_to_save: list[str] = field(default_factory=list)
    """Modules trained whole and saved with the adapter."""

    peft_type: ClassVar[str] = "IA3"
    module_options: ClassVar[tuple[str, ...]] = ("target_modules", "feedforward_modules", "modules_to_save")

    def __post_init__(self) -> None:
        if not self.target_modules:
            raise ValueError("target_modules must name at least one module, got none")
        if strange := sorted(set(self.feedforward_modules) - set(self.target_modules)):
            raise ValueError(f"feedforward_modules must be among target_modules, got {strange[0]!r}")
        super().__post_init__()

    def config(self, model: PreTrainedModel) -> IA3Config:
        """Return peft's settings of a new adapter."""
        import peft

        return peft.IA3Config(
            task_type=task_of(model),
            target_modules=targets(model, self.target_modules),
            feedforward_modules=list(self.feedforward_modules),
            exclude_modules=heads_of(model),
            modules_to_save=saved_whole(model, self.modules_to_save),
        )

    def decays(self, name: str) -> bool:
        """Say whether a trained parameter may decay: factors must not, since 1 and not 0 leaves the model alone."""
        return ".ia3_l." not in name
