"""DoRA: LoRA on the direction of each weight, beside a trained magnitude.

    W' = m * (W + scale * B A) / ||W + scale * B A||      norms over the inputs of each output, m starts at ||W||

Liu et al., 2024, arXiv:2402.09353, eq. 5; as there in section 4.3 the norm counts as a constant in the gradient.
On peft.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from swift_core.builtins.tuners.lora import Lora

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from transformers import PreTrainedModel


@dataclass(frozen=True, kw_only=True)
class Dora(Lora):
    """Train low-rank matrices and the magnitudes of the weights that they turn."""

    init_lora_weights: Literal["default", "gaussian", "orthogonal"] = "default"
    """How A is drawn; the update starts at zero in every case."""

    use_dora: ClassVar[bool] = True

    def _require_like(self, config: Mapping[str, Any]) -> None:
        super()._require_like(config)
        if not config.get("use_dora"):
            raise ValueError(f"adapter {self.adapter!r} has no magnitudes; go on with tuner lora")

    def settled(self, model: PreTrainedModel) -> PreTrainedModel:
        """Return `model`: magnitudes are formed in float32 whatever its type."""
        return model
