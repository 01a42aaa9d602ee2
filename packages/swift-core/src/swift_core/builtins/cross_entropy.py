"""Cross entropy: the negative log-probability of each trained token.

    loss[i] = -log p(y[i])

With label smoothing e, a share e of the target is spread evenly over the vocabulary (Szegedy et al., 2016,
arXiv:1512.00567, section 7); with z-loss c, the log of the softmax's normaliser is pulled to zero (PaLM: Chowdhery et
al., 2022, arXiv:2204.02311, section 5):

    loss[i] = (1 - e) * -log p(y[i]) + e * mean_v -log p(v) + c * (log Z[i])^2

Both need the logits of the trained tokens, which are formed a tile of tokens at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from swift_core.plugin_api import LossOutput, TokenOutputs, require_between, require_nonnegative

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class CrossEntropy:
    """Next-token cross entropy on the trained tokens."""

    label_smoothing: float = 0.0
    """Share of the target spread over the whole vocabulary, in [0, 1)."""

    z_loss: float = 0.0
    """Weight of the squared log-normaliser, >= 0; 1e-4 is usual."""

    needs_reference: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_between(0.0, 1.0, label_smoothing=self.label_smoothing)
        require_nonnegative(z_loss=self.z_loss)

    def __call__(self, tokens: TokenOutputs) -> LossOutput:
        """Return one loss per trained token, weighted by the run's loss scale."""
        spread = self.label_smoothing or self.z_loss
        return LossOutput(tokens.map_tiles(self._spread) if spread else -tokens.logps, weights=tokens.weights)

    def _spread(self, tile: TokenOutputs) -> Tensor:
        """Return [token], with label smoothing and z-loss."""
        logits = tile.token_logits
        normaliser = logits.logsumexp(-1)
        right = normaliser - logits.gather(-1, tile.labels[:, None]).squeeze(-1)
        uniform = normaliser - logits.mean(-1)
        return (1 - self.label_smoothing) * right + self.label_smoothing * uniform + self.z_loss * normaliser**2
