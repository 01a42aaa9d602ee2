"""What a loss on a student and a teacher may read: both models' next-token distributions on the same tokens.

The logits of all tokens are [token, vocabulary], twice. A loss that is a sum over tokens does not need them at once:

    losses = outputs.map_tiles(divergence)      # divergence(tile) -> [token of the tile]

A tile is `DistillOutputs` again, of a few tokens. Its logits are formed for one call of the function, and again in the
backward pass, so that memory does not grow with tokens times vocabulary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from swift_core.contracts.loss import TiledOutputs

if TYPE_CHECKING:
    from torch import Tensor


class DistillOutputs(TiledOutputs):
    """What a distillation loss may read. `token` runs over the trained tokens of the micro-batch, row by row.

    The student has the gradient, the teacher has none. Which of the teacher's values there are depends on the teacher:
    one that runs here has logits, one behind a server or in the data has its top k.
    """

    first: ClassVar[str] = "student_logps"

    student_logps: Tensor
    """[token] log-probability of each trained token under the student, in nats."""

    teacher_logps: Tensor
    """[token] the same under the teacher."""

    student_token_logits: Tensor
    """[token, vocabulary] the student's logits at the scored positions. Costs what its shape says: see `map_tiles`."""

    teacher_token_logits: Tensor
    """[token, vocabulary] the teacher's."""

    teacher_topk_logps: Tensor
    """[token, k] the teacher's largest log-probabilities, in nats, normalised over the whole vocabulary; -inf fills the
    places of tokens that have fewer."""

    teacher_topk_ids: Tensor
    """[token, k] the vocabulary ids they belong to; any id where there is none."""

    rows: Tensor
    """[token] row of the micro-batch each trained token belongs to."""

    labels: Tensor
    """[token] id of each trained token."""

    weights: Tensor
    """[token] weight of each trained token (`loss_scale`); ones when there is none."""
