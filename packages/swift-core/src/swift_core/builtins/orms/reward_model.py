"""Reward model: the score that the model of a finished run of stage `rm` gives an answer.

    score = w . h(last token of prompt and answer)

The preference model of Bradley and Terry, 1952, as trained for rewards by Ouyang et al., 2022, arXiv:2203.02155. Scores
have no bounds: only differences between answers to one prompt mean something.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from swift_core.contracts.models import TrainedJudge, open_judge, run_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.contracts.reward import InferRequest


@dataclass(kw_only=True)
class RewardModel:
    """The score of a trained reward model, without bounds."""

    run: str
    """Directory of a finished run of stage `rm`; a relative path starts from the run file's folder."""

    scope: ClassVar[str] = "sample"
    _judge: TrainedJudge = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Look for the run; its model is loaded with the first answers."""
        self._judge = open_judge(self.run, run_folder(), "rm")

    def __call__(self, infer_requests: Sequence[InferRequest]) -> list[float]:
        """Return the score of each answer.

        Raises:
            ValueError: A conversation is given to a model of plain text.
        """
        return self._judge.scores(infer_requests) if infer_requests else []
