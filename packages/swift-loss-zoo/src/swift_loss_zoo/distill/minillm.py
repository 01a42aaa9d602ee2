"""MiniLLM: the reverse divergence of whole answers that the student wrote, by its policy gradient.

    loss[t] = KL(Q_t || P_t) - sg(R[t + 1]) * log q[t]
    R[t]    = mean over s >= t of (log p[s] - log q[s]), 0 past the end

P_t and Q_t are the teacher's and the student's distributions of token t, p[t] and q[t] what they give the token that
the student wrote; sg stops the gradient. The gradient of KL(Q || P) of whole answers falls into the two terms: what
choosing a token does at once, exact over the vocabulary, and what it leads to (single-step decomposition). R is divided
by the number of tokens left, so that short answers have no advantage (length normalisation); `length_normalise: false`
takes the sum, which is the exact gradient. Gu et al., 2023, arXiv:2306.08543, section 2.2. Samples are the student's
own of this step, unmixed: the paper's weights for samples mixed with the teacher's, its clipped ratio for samples used
again and its language-modelling term are not in this loss.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from swift_core.plugin_api import DistillOutputs, LossOutput, require_positive
from swift_loss_zoo._distributions import kl

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniLLM:
    """How later tokens count for earlier ones."""

    length_normalise: bool = True
    """Take the mean of what later tokens gain, not the sum."""

    temperature: float = 1.0
    """What the logits of both are divided by in the first term, > 0."""

    needs_reference: ClassVar[bool] = False
    stops_gradient: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_positive(temperature=self.temperature)

    def __call__(self, outputs: DistillOutputs) -> LossOutput:
        """Return one loss per trained token, weighted by the run's loss scale; tokens of a row depend on each other."""
        single = outputs.map_tiles(self._divergence)
        gains = (outputs.teacher_logps - outputs.student_logps).detach()
        later = _later(gains, outputs.rows, mean=self.length_normalise)
        losses = single - later * outputs.student_logps
        return LossOutput(losses, weights=outputs.weights, metrics={"reverse_kl": single, "gain": gains})

    def _divergence(self, tile: DistillOutputs) -> Tensor:
        """Return [token]."""
        teacher = (tile.teacher_token_logits / self.temperature).log_softmax(-1)
        return kl((tile.student_token_logits / self.temperature).log_softmax(-1), teacher)


def _later(gains: Tensor, rows: Tensor, *, mean: bool) -> Tensor:
    """Return the sum or mean of the gains of later tokens of the same row, [token]; 0 for a row's last one.

    Args:
        gains: [token].
        rows: [token], not decreasing.
        mean: Divide by the number of later tokens.
    """
    place = torch.arange(len(rows), device=rows.device)
    row_ends = torch.searchsorted(rows, rows, right=True)
    total = torch.cat([gains.new_zeros(1), gains.cumsum(0)])
    sums, counts = total[row_ends] - total[place + 1], row_ends - place - 1
    return torch.where(counts > 0, sums / counts.clamp(min=1) if mean else sums, 0)
