"""QLoRA: LoRA beside a model that is frozen in 4 bits (NormalFloat, doubly quantised).

    y = dequantised(W) x + scale * B (A x)

Dettmers et al., 2023, arXiv:2305.14314, eq. 5. bitsandbytes keeps and multiplies the 4-bit weights, peft adapts them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from swift_core.builtins.tuners.lora import Lora


@dataclass(frozen=True, kw_only=True)
class QLora(Lora):
    """Train low-rank matrices beside weights that are kept in 4 bits."""

    init_lora_weights: Literal["default", "gaussian", "orthogonal"] = "default"
    """How A is drawn; the update starts at zero in every case."""

    quantization_bits: ClassVar[int] = 4
    """`model.quantization_bit` where the run file gives none."""
