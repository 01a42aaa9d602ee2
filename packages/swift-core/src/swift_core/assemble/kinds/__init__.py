"""What a row of data is, by stage: its sequences of tokens, what is kept of it, and how rows become a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.assemble.kinds.classes import ClassRows
from swift_core.assemble.kinds.image_texts import ImageTexts
from swift_core.assemble.kinds.pairs import PairRows
from swift_core.assemble.kinds.prompts import PromptRows
from swift_core.assemble.kinds.scores import ScoreRows
from swift_core.assemble.kinds.steps import StepRows
from swift_core.assemble.kinds.tokens import TokenRows
from swift_core.assemble.kinds.unpaired import UnpairedRows

if TYPE_CHECKING:
    from swift_core.assemble.kinds.kind import RowKind
    from swift_core.assemble.scales import LossScales

KINDS: dict[str, type[RowKind]] = {
    "tokens": TokenRows,
    "pairs": PairRows,
    "unpaired": UnpairedRows,
    "classes": ClassRows,
    "scores": ScoreRows,
    "steps": StepRows,
    "prompts": PromptRows,
    "image_texts": ImageTexts,
}
"""By what a procedure declares as `rows`."""


WEIGHED: dict[str, type[TokenRows | PairRows | UnpairedRows]] = {
    "tokens": TokenRows,
    "pairs": PairRows,
    "unpaired": UnpairedRows,
}
"""Kinds that read loss scales."""


def row_kind(name: str, scales: LossScales | None = None) -> RowKind:
    """Return a new row kind; one object serves the training and the held-out rows of one run, in this order."""
    return KINDS[name]() if scales is None else WEIGHED[name](scales=scales)
