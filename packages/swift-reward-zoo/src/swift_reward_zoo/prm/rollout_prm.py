"""Rollout PRM: a step is worth the share of continuations from it that end in the right answer.

    score of step k = right continuations of steps 1..k / num_rollouts          (soft estimation)
    score of step k = 1 if any continuation is right, else 0                    (hard estimation)

Wang et al., 2023, arXiv:2312.08935 (Math-Shepherd), eqs. 2 and 3. The last step ends the answer, so that it is worth
what the answer is. No model of steps is needed, only one that continues and a ground truth; it costs `num_rollouts`
answers per step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from swift_core.plugin_api import (
    Generator,
    InferRequest,
    SamplingParams,
    open_generator,
    require_positive,
    run_folder,
)
from swift_reward_zoo._batch import check_lengths
from swift_reward_zoo._conversation import turns_before
from swift_reward_zoo.answer._graders import Grader, grader
from swift_reward_zoo.steps import Style, join_steps, split_steps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(kw_only=True)
class RolloutPrm:
    """The share of continuations of each step that end in the right answer."""

    model: str
    """What continues, as in `model.model_id`."""

    engine: str = "transformers"
    """Name of what generates (`swift plugins list --kind engine`)."""

    engine_kwargs: Mapping[str, Any] = field(default_factory=dict)
    """Options of the engine."""

    grader: Grader = "math"
    """The reward that says what is right, with its defaults."""

    num_rollouts: int = 4
    """Continuations of each step, >= 1."""

    estimate: Literal["soft", "hard"] = "soft"
    """The share of right continuations, or whether there is one."""

    max_tokens: int = 512
    """Longest continuation in tokens, >= 1."""

    temperature: float = 0.7
    """Of what is drawn, > 0."""

    seed: int = 0
    """Of what is drawn: the same seed, answers and weights give the same scores."""

    style: Style = "auto"
    """Where answers are cut into steps."""

    scope: ClassVar[str] = "batch"
    _generator: Generator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the options and look for the model, which is loaded with the first answers."""
        require_positive(num_rollouts=self.num_rollouts, max_tokens=self.max_tokens, temperature=self.temperature)
        grader(self.grader)
        self._generator = open_generator(self.model, run_folder(), engine=self.engine, engine_kwargs=self.engine_kwargs)

    def __call__(
        self, infer_requests: Sequence[InferRequest], ground_truths: Sequence[str | None]
    ) -> list[list[float | None]]:
        """Return one score per step, None for a step none of whose continuations could be graded.

        Raises:
            ValueError: The grader refuses a ground truth.
        """
        check_lengths("rollout_prm", infer_requests, {"ground_truths": ground_truths})
        steps = [split_steps(request.response, self.style) for request in infer_requests]
        begun = [
            (row, join_steps(own[:end])) for row, own in enumerate(steps) for end in range(1, len(own))
        ]  # fmt: skip
        whole = [(row, infer_requests[row].response) for row, own in enumerate(steps) if own]
        ends = self._continued(infer_requests, begun)
        graded = self._graded(infer_requests, ground_truths, [*whole, *ends])
        of_whole = dict(zip((row for row, _ in whole), graded[: len(whole)], strict=True))
        found: list[list[float | None]] = [[] for _ in steps]
        rolled = graded[len(whole) :]
        for place, (row, _) in enumerate(begun):
            found[row].append(self._estimated(rolled[place * self.num_rollouts : (place + 1) * self.num_rollouts]))
        for row, score in of_whole.items():
            found[row].append(score)
        return found

    def _continued(
        self, infer_requests: Sequence[InferRequest], begun: Sequence[tuple[int, str]]
    ) -> list[tuple[int, str]]:
        """Return `num_rollouts` whole answers from each beginning, with the row they belong to."""
        if not begun:
            return []
        params = SamplingParams(
            max_tokens=self.max_tokens, temperature=self.temperature, num_answers=self.num_rollouts, seed=self.seed
        )
        prompts: list[Any] = [turns_before(infer_requests[row]) for row, _ in begun]
        drawn = self._generator.answers(prompts, [start for _, start in begun], params)
        return [(row, start + text) for (row, start), texts in zip(begun, drawn, strict=True) for text in texts]

    def _graded(
        self,
        infer_requests: Sequence[InferRequest],
        ground_truths: Sequence[str | None],
        answers: Sequence[tuple[int, str]],
    ) -> list[float | None]:
        requests = [InferRequest(messages=infer_requests[row].messages, response=text) for row, text in answers]
        scores: list[float | None] = grader(self.grader)(requests, [ground_truths[row] for row, _ in answers])
        return scores

    def _estimated(self, scores: Sequence[float | None]) -> float | None:
        known = [score for score in scores if score is not None]
        if not known:
            return None
        return sum(known) / len(known) if self.estimate == "soft" else float(any(score > 0.5 for score in known))
