"""Distillation from the teacher's most likely tokens: what a server or a data set can tell of a teacher.

    loss[t] = D_beta(P'_t, Q'_t)        D_beta as in `gkd`

P' and Q' are the teacher's and the student's distribution of the next token, reduced to the k tokens that the teacher
finds likeliest. With `rest: renormalise` both are divided by what they give these k; with `rest: bucket` all other
tokens are one more, with the probability that is left, so that the student is told how much it may give them: then the
loss is a lower bound of the divergence over the whole vocabulary (the data processing inequality). Agarwal
et al., 2023, arXiv:2306.13649, eq. 1; the bucket: Hubotter et al., 2026, arXiv:2601.20802.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import torch

from swift_core.plugin_api import DistillOutputs, LossOutput
from swift_loss_zoo._distributions import generalised_jsd, require_share, with_rest

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class TopKDistill:
    """Which divergence, and what becomes of the tokens that the teacher does not name."""

    beta: float = 0.0
    """Between 0, the forward divergence, and 1, the reverse one."""

    rest: Literal["renormalise", "bucket"] = "bucket"
    """Take the named tokens for all there are, or keep the others as one token more."""

    needs_reference: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_share(beta=self.beta)

    def __call__(self, outputs: DistillOutputs) -> LossOutput:
        """Return one loss per trained token, weighted by the loss scale; `teacher_mass` is what its k tokens cover."""
        mass = outputs.teacher_topk_logps.exp().sum(-1)
        return LossOutput(outputs.map_tiles(self._divergence), weights=outputs.weights, metrics={"teacher_mass": mass})

    def _divergence(self, tile: DistillOutputs) -> Tensor:
        """Return [token]."""
        teacher, ids = tile.teacher_topk_logps, tile.teacher_topk_ids
        logits = tile.student_token_logits
        named = logits.gather(-1, ids) - logits.logsumexp(-1, keepdim=True)
        student = torch.where(teacher.isneginf(), -torch.inf, named)
        if self.rest == "bucket":
            return generalised_jsd(with_rest(teacher), with_rest(student), self.beta)
        return generalised_jsd(teacher.log_softmax(-1), student.log_softmax(-1), self.beta)
