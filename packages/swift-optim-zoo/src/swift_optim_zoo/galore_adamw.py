"""GaLore with AdamW: Adam's moments live in a low-rank projection of the gradient, refreshed every so often.

    every update_proj_gap steps:  Q = leading singular vectors of G
    R  = G Q                                   (or Q^T G, whichever is smaller; proj_type full: P^T G Q)
    M <- beta1 M + (1 - beta1) R
    V <- beta2 V + (1 - beta2) R * R
    N  = M / (sqrt(V) + eps) * sqrt(1 - beta2^t) / (1 - beta1^t)
    p <- (p - lr * scale * N Q^T) * (1 - lr * weight_decay)

Zhao et al., 2024, arXiv:2403.03507, alg. 2; eps and decay stand where the authors' code has them. Parameters that are
not projected (embeddings, output head, norms, biases) take the same step with Q = identity and scale = 1.
With refresh exact, moments keep and stagger off it is the authors' code, but for the signs of singular vectors.
"""

from __future__ import annotations

from typing import ClassVar

from swift_optim_zoo._galore_adam import GaLoreAdam


class GaLoreAdamW(GaLoreAdam):
    """AdamW whose states are kept in a low-rank projection of the gradient (GaLore)."""

    label = "galore_adamw"

    state_bytes: ClassVar[str] = "8 * size"
    matrix_state_bytes: ClassVar[str] = "8 * moment_size + 4 * basis_size + gap_bytes"
