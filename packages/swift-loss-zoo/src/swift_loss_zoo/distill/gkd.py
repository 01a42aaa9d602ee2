"""Generalised knowledge distillation (GKD): the divergence between teacher and student at each token.

    loss[t] = D_beta(P_t, Q_t)
    D_beta(P, Q) = beta * KL(P || M) + (1 - beta) * KL(Q || M)        M = beta * P + (1 - beta) * Q

P is the teacher's and Q the student's distribution of the next token, over the whole vocabulary and at `temperature`.
At beta 0 the loss is the forward divergence KL(P || Q), which spreads the student over all that the teacher may say; at
beta 1 it is the reverse one, KL(Q || P), which keeps it to what the teacher would say. Agarwal et al., 2023,
arXiv:2306.13649, eq. 1 and section 3. Who writes the tokens, data or student, is the procedure's choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from swift_core.plugin_api import DistillOutputs, LossOutput, require_positive
from swift_loss_zoo._distributions import generalised_jsd, require_share

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class GKD:
    """Which divergence, and how flat the distributions are."""

    beta: float = 0.5
    """Between 0, the forward divergence, and 1, the reverse one."""

    temperature: float = 1.0
    """What the logits of both are divided by, > 0; above 1 unlikely tokens count for more."""

    needs_reference: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_share(beta=self.beta)
        require_positive(temperature=self.temperature)

    def __call__(self, outputs: DistillOutputs) -> LossOutput:
        """Return one loss per trained token, weighted by the run's loss scale."""
        return LossOutput(outputs.map_tiles(self._divergence), weights=outputs.weights)

    def _divergence(self, tile: DistillOutputs) -> Tensor:
        """Return [token]."""
        teacher = (tile.teacher_token_logits / self.temperature).log_softmax(-1)
        student = (tile.student_token_logits / self.temperature).log_softmax(-1)
        return generalised_jsd(teacher, student, self.beta)
