"""Local PRM: how probable a process reward model of your own thinks it that each step is right.

    score of a step = softmax(logits at the last token of the step)[right]

The model is that of a finished run of stage `prm`; answers are split into steps as the run's own data were, at
`data.step_separator`. Lightman et al., 2023, arXiv:2305.20050.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from swift_core.plugin_api import TrainedJudge, open_judge, run_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.plugin_api import InferRequest


@dataclass(kw_only=True)
class LocalPrm:
    """The probability that each step is right, by a run of stage prm."""

    run: str
    """Directory of a finished run of stage `prm`; a relative path starts from the run file's folder."""

    scope: ClassVar[str] = "sample"
    _judge: TrainedJudge = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Look for the run; its model is loaded with the first answers."""
        self._judge = open_judge(self.run, run_folder(), "prm")

    def __call__(self, infer_requests: Sequence[InferRequest]) -> list[list[float]]:
        """Return one probability per step; an answer without steps has none.

        Raises:
            ValueError: A conversation is given to a model of plain text.
        """
        return self._judge.steps(infer_requests) if infer_requests else []
