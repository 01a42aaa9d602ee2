"""GaLore with AdamW whose low-rank moments have 8 bits.

    every update_proj_gap steps:  Q = leading singular vectors of G
    R  = G Q                                   (or Q^T G, whichever is smaller; proj_type full: P^T G Q)
    M, V, N as in AdamW on R, M and V kept in one byte each, in blocks of 256 with a scale of their own
    p <- (p - lr * scale * N Q^T) * (1 - lr * weight_decay)

Zhao et al., 2024, arXiv:2403.03507, alg. 2 and sec. 5.1 ("8-bit GaLore"). Parameters that are not projected
(embeddings, output head, norms, biases) take AdamW with 8-bit moments; tensors below 4096 elements keep float32 ones.
On a CPU the kernels of swift-native take the steps where it is installed, in blocks of 128; see `_galore_eight_bit`.
"""

from __future__ import annotations

from typing import ClassVar

from swift_optim_zoo._galore_adam import GaLoreAdam
from swift_optim_zoo._galore_eight_bit import EightBitGaLore


class GaLoreAdamW8bit(GaLoreAdam, EightBitGaLore):
    """GaLore's AdamW with moments of 8 bits."""

    label = "galore_adamw8bit"

    matrix_state_bytes: ClassVar[str] = "4 * basis_size + gap_bytes + moment_bytes"
