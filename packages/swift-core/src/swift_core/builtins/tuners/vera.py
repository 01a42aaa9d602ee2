"""VeRA: two frozen random matrices for all layers, and vectors of each layer's own that scale them.

    y = W x + b * (B (d * (A x)))          A, B drawn once; b starts at 0, d at `d_initial`

Kopiczko et al., 2023, arXiv:2310.11454, eq. 2. On peft.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from swift_core.builtins.tuners._adapter import Adapter, task_of
from swift_core.builtins.tuners._modules import saved_whole, targets
from swift_core.contracts.checks import require_between, require_positive

if TYPE_CHECKING:
    from peft import VeraConfig
    from transformers import PreTrainedModel


@dataclass(frozen=True, kw_only=True)
class Vera(Adapter):
    """Train vectors beside random matrices that all layers share; take a learning rate ten times that of LoRA."""

    vera_rank: int = 256
    """Rank of the shared matrices, >= 1; they are frozen, so it costs time and hardly memory."""

    vera_dropout: float = 0.0
    """Share of the update's inputs dropped in training, in [0, 1)."""

    d_initial: float = 0.1
    """First value of d, > 0."""

    target_modules: str | list[str] = "all-linear"
    """Which modules: `all-linear` (all but the output head), a list of name endings, or a regular expression."""

    modules_to_save: list[str] = field(default_factory=list)
    """Modules trained whole and saved with the adapter."""

    projection_prng_key: int = 0
    """Seed of the shared matrices, >= 0; they are saved with the adapter."""

    peft_type: ClassVar[str] = "VERA"
    module_options: ClassVar[tuple[str, ...]] = ("target_modules", "modules_to_save")
    said_by_adapter: ClassVar[dict[str, str]] = {
        "vera_rank": "r",
        "vera_dropout": "vera_dropout",
        "projection_prng_key": "projection_prng_key",
    }

    def __post_init__(self) -> None:
        require_positive(vera_rank=self.vera_rank, d_initial=self.d_initial)
        require_between(0.0, 1.0, vera_dropout=self.vera_dropout)
        if not self.target_modules:
            raise ValueError("target_modules must name at least one module, got none")
        super().__post_init__()

    def config(self, model: PreTrainedModel) -> VeraConfig:
        """Return peft's settings of a new adapter."""
        import peft

        return peft.VeraConfig(
            task_type=task_of(model),
            r=self.vera_rank,
            vera_dropout=self.vera_dropout,
            d_initial=self.d_initial,
            target_modules=targets(model, self.target_modules),
            modules_to_save=saved_whole(model, self.modules_to_save),
            projection_prng_key=self.projection_prng_key,
            save_projection=True,
        )
