"""Stage `gkd`: a student learns what its teacher says of the tokens of data, or of the student's own answers.

A step's answers are the student's own with probability `rollout.lmbda`, else those of the data (Agarwal et al., 2023,
arXiv:2306.13649, algorithm 1); which it is depends on the seed and the step alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from swift_core.assemble.turns import hash_seed
from swift_core.contracts.distill import DistillOutputs
from swift_core.train.forward import OutputHead
from swift_core.train.outputs import ScoredTokens
from swift_core.train.policy.batches import own_answers
from swift_core.train.policy.rollouts import Rollouts
from swift_core.train.supervised import Supervised
from swift_core.train.trainer import Batch

if TYPE_CHECKING:
    from swift_core.contracts.handover import Parts

TILE_ELEMENTS = 1 << 24
"""Logits of a tile, of each model: 64 MiB in float32."""


class Distillation(Supervised):
    """Distil a teacher into the model; a teacher runs beside it and is never trained."""

    feeds: ClassVar[str] = "DistillOutputs"
    rows: ClassVar[str] = "tokens"
    default_loss: ClassVar[str] = "gkd"
    samples: ClassVar[bool] = True
    needs_teacher: ClassVar[bool] = True

    def __init__(self, parts: Parts) -> None:
        """Take the live parts of a run, and its teacher."""
        super().__init__(parts)
        assert parts.teacher is not None  # assembled for every procedure that needs one
        self.teacher, self.teacher_head = parts.teacher, OutputHead(parts.teacher)
        self.rollouts = Rollouts(parts, self.args.process_index)

    def prepare_step(self, batches: list[Any]) -> list[Any]:
        """Return the batches of data, or the same prompts with answers that the student draws now."""
        settings, step = self.parts.plan.settings, self.state.global_step
        drawn = random.Random(hash_seed(settings.train.seed, step)).random() < settings.rollout.lmbda
        self._since_log.add_values({"on_policy": torch.tensor([float(drawn)])})
        if not drawn:
            return batches
        made = own_answers(self.rollouts, batches, step, self.parts.encoder.pad_token_id)
        return [{name: value.to(self.args.device) for name, value in batch.items()} for batch in made]

    def make_outputs(self, model: nn.Module, batch: Batch) -> Any:
        """Return the lazy outputs of student and teacher."""
        student = ScoredTokens(self.head, model, batch)
        teacher = ScoredTokens(self.teacher_head, self.teacher, batch, reader="teacher")
        return distill_outputs(student, teacher, self.parts.plan.settings.model.teacher_top_k)

    def prove(self, batch: Batch) -> None:
        """Raise SwiftError unless the scores of both models are their own."""
        super().prove(batch)
        self.teacher_head.prove(self.teacher, batch)


def distill_outputs(student: ScoredTokens, teacher: ScoredTokens, top_k: int) -> DistillOutputs:
    """Return what a distillation loss may read; `top_k` is the number of the teacher's tokens that are named."""
    size = max(1, TILE_ELEMENTS // student.head_call.vocabulary)
    spans = [slice(start, start + size) for start in range(0, len(student.labels), size)]

    def maker(span: slice) -> Callable[[], DistillOutputs]:
        return lambda: DistillOutputs(_values(student, teacher, span, top_k))

    def tiles() -> list[Callable[[], DistillOutputs]]:
        """Run both models now: a tile is computed again in the backward pass, and the models are not."""
        student.read("all_hidden")
        with torch.no_grad():
            teacher.read("all_hidden")
        return [maker(span) for span in spans]

    def joined(name: str) -> Tensor:
        """Form a value of the teacher tile by tile: nothing of its logits stays."""
        return torch.cat([getattr(make(), name) for make in tiles()])

    return DistillOutputs(
        _values(student, teacher, slice(None), top_k)
        | {
            "tiles": tiles,
            "teacher_topk_logps": lambda: joined("teacher_topk_logps"),
            "teacher_topk_ids": lambda: joined("teacher_topk_ids"),
        }
    )


def _values(student: ScoredTokens, teacher: ScoredTokens, span: slice, top_k: int) -> dict[str, Callable[[], Any]]:
    """Return the values of the tokens in `span`."""
    kept: list[Tensor] = []

    @torch.no_grad()
    def teacher_logits() -> Tensor:
        return teacher.head_call.logits(_teacher_hidden(teacher)[span])

    @torch.no_grad()
    def top() -> list[Tensor]:
        if not kept:
            logits = teacher_logits()
            values, ids = logits.topk(min(top_k, logits.shape[-1]), dim=-1)
            kept.extend((values - logits.logsumexp(-1, keepdim=True), ids))
        return kept

    @torch.no_grad()
    def teacher_logps() -> Tensor:
        return teacher.logps[span]

    return {
        "student_logps": lambda: student.logps[span],
        "teacher_logps": teacher_logps,
        "student_token_logits": lambda: student.head_call.logits(student.hidden[span]),
        "teacher_token_logits": teacher_logits,
        "teacher_topk_logps": lambda: top()[0],
        "teacher_topk_ids": lambda: top()[1],
        "rows": lambda: student.rows[span],
        "labels": lambda: student.labels[span],
        "weights": lambda: student.weights[span],
    }


@torch.no_grad()
def _teacher_hidden(teacher: ScoredTokens) -> Tensor:
    return teacher.hidden
