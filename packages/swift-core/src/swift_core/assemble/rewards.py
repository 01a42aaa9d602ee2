"""Rewards as core calls them, whichever dialect they are written in.

A reward is `(infer_requests, ground_truths, **columns)` or `(completions, **columns)`. Its signature is read once; each
call then hands over what it asks for by name and nothing else. What comes back is checked: a finite number, or None,
for each answer; of a process reward also a list of them, which becomes one number.
"""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from swift_core.assemble.apart import ApartReward, in_process_step, runs_apart, start
from swift_core.assemble.failures import FailurePolicy, FailureTally, failure_of, settled
from swift_core.assemble.routing import chosen, is_asked, nothing, scattered
from swift_core.contracts.aggregation import Aggregation, aggregate_steps
from swift_core.contracts.handover import RewardPart
from swift_core.contracts.reward import (
    InferRequest,
    RewardFailure,
    RewardInputs,
    RewardScores,
    failures_reported,
)
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from swift_core.contracts.data import Record
    from swift_core.contracts.handover import PartPlan, RunPlan

_REQUESTS = "infer_requests"
_COMPLETIONS = "completions"
_TRUTHS = "ground_truths"


@dataclass(frozen=True, slots=True)
class AdaptedReward:
    """A reward with its name in the run file; scores inputs of core's one form."""

    name: str
    reward: Callable[..., Any]
    dialect: str
    """The name of what comes first: `infer_requests` or `completions`."""

    asks_truths: bool
    required: tuple[str, ...]
    optional: tuple[str, ...]
    takes_all: bool
    """True when the reward ends in `**columns`: it is given every column."""

    scope: str = ""
    """What a score depends on, as the reward says: `sample`, `group`, `batch`, or empty when it does not say."""

    aggregate: Aggregation | None = None
    """What the scores of steps become; None of an outcome reward."""

    when: Mapping[str, Any] = field(default_factory=dict)
    """Values of columns, one or a list of them: it scores the rows that have them, and says nothing of others."""

    policy: FailurePolicy = field(default_factory=FailurePolicy)
    tally: FailureTally = field(default_factory=FailureTally)
    """What it has failed on so far."""

    def check(self, inputs: RewardInputs) -> None:
        """Raise ValueError, before anything is scored, when data lacks what the reward asks for."""
        missing = [column for column in self.required if column not in self._offered(inputs)]
        if missing:
            had = ", ".join(sorted(inputs.columns)) or "none"
            names = ", ".join(repr(column) for column in missing)
            raise ValueError(
                f"reward {self.name!r} asks for column {names}, which the data does not have; it has {had}"
            )
        if self.asks_truths and inputs.infer_requests and all(truth is None for truth in inputs.ground_truths):
            raise ValueError(f"reward {self.name!r} asks for ground truths and the data has none")

    def score(self, inputs: RewardInputs) -> RewardScores:
        """Return one score per answer, None where the reward abstains or fails; `failures` tells which it is.

        Raises:
            ValueError: A column is missing, the reward found the data broken, or it returned the wrong number of scores
                or one that is no number.
            SwiftError: The same of a reward whose place in a run file is known; or it failed, and the run is to stop
                for that.
        """
        try:
            return self._routed(inputs)
        except ValueError as error:
            if self.policy.place is None:
                raise
            raise self.refused(error, "reward-failed") from error

    def refused(self, error: ValueError, code: str, next_step: str = "") -> SwiftError:
        """Return what the reward says is wrong, with who brought it and its place in the run file."""
        plain, called = f"reward {self.name!r} ", self.policy.called(self.name)
        said = str(error)
        message = f"{called} {said.removeprefix(plain)}." if said.startswith(plain) else f"{called}: {said}."
        return SwiftError(Problem(code, message, self.policy.place, next_step or self.policy.look))

    def _routed(self, inputs: RewardInputs) -> RewardScores:
        """Score the answers that the reward is for."""
        if not self.when:
            return self._judged(inputs)
        asked = [index for index in range(len(inputs.infer_requests)) if is_asked(self.when, inputs.columns, index)]
        return scattered(self._judged(chosen(inputs, asked)), asked, inputs) if asked else nothing(inputs)

    def _judged(self, inputs: RewardInputs) -> RewardScores:
        """Score all of `inputs`."""
        self.check(inputs)
        scores, failures = self._scored(inputs)
        if self.aggregate is None:
            return settled(self.name, scores, failures, self.policy, self.tally)
        steps = [step_scores(score) for score in scores]
        made = [aggregate_steps(each, self.aggregate) if each else None for each in steps]
        kept = settled(self.name, made, failures, self.policy, self.tally)
        return RewardScores(kept, failures, steps)

    def _scored(self, inputs: RewardInputs) -> tuple[list[Any], dict[int, RewardFailure]]:
        """Call the reward; an exception that is not about the data is a failure of all answers."""
        count = len(inputs.infer_requests)
        with failures_reported() as reported:
            try:
                scores = result_of(self.reward(*self._first(inputs), **self._columns(inputs)))
            except (ValueError, SwiftError):
                raise
            except Exception as error:
                return [None] * count, dict.fromkeys(range(count), failure_of(error))
        checked = checked_scores if self.aggregate is None else checked_steps
        return checked(self.name, scores, count), {**reported, **getattr(scores, "failures", {})}

    def _first(self, inputs: RewardInputs) -> list[list[Any]]:
        if self.dialect == _COMPLETIONS:
            return [[request.response for request in inputs.infer_requests]]
        requests: list[list[Any]] = [list(inputs.infer_requests)]
        return [*requests, list(inputs.ground_truths)] if self.asks_truths else requests

    def __call__(
        self, infer_requests: Sequence[InferRequest], ground_truths: Sequence[str | None], /, **columns: Sequence[Any]
    ) -> RewardScores:
        """Score in the first dialect."""
        return self.score(RewardInputs(infer_requests, ground_truths, columns))

    def _columns(self, inputs: RewardInputs) -> dict[str, list[Any]]:
        offered = self._offered(inputs)
        wanted = inputs.columns if self.takes_all else ()
        names = dict.fromkeys([*self.required, *(name for name in self.optional if name in offered), *wanted])
        reserved = (_REQUESTS, _COMPLETIONS, _TRUTHS) if self.takes_all else ()
        return {name: list(offered[name]) for name in names if name not in reserved or name in self.required}

    def _offered(self, inputs: RewardInputs) -> Mapping[str, Sequence[Any]]:
        """Return every column by name; what core knows itself is there unless a column has that name."""
        own: dict[str, Sequence[Any]] = {"prompts": [_prompt(request) for request in inputs.infer_requests]}
        if any(truth is not None for truth in inputs.ground_truths):
            own |= {
                _TRUTHS: inputs.ground_truths,
                "ground_truth": inputs.ground_truths,
                "solution": inputs.ground_truths,
            }
        return {**own, **inputs.columns}


def adapt_reward(name: str, reward: Callable[..., Any]) -> AdaptedReward:
    """Return `reward` as core calls it.

    Raises:
        ValueError: Its first parameter is neither `infer_requests` nor `completions`.
    """
    parameters = list(inspect.signature(reward).parameters.values())
    named = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
    if any(p.kind is p.VAR_POSITIONAL for p in named) or not named or named[0].name not in (_REQUESTS, _COMPLETIONS):
        written = ", ".join(str(p) for p in parameters)
        raise ValueError(
            f"reward {name!r} takes ({written}); "
            "it must take (infer_requests, ground_truths, ...) or (completions, ...)"
        )
    dialect = named[0].name
    asks_truths = dialect == _REQUESTS and len(named) > 1 and named[1].name == _TRUTHS
    columns = named[2 if asks_truths else 1 :]
    return AdaptedReward(
        name=name,
        reward=reward,
        dialect=dialect,
        asks_truths=asks_truths,
        required=tuple(p.name for p in columns if p.default is p.empty),
        optional=tuple(p.name for p in columns if p.default is not p.empty),
        takes_all=len(named) < len(parameters),
        scope=getattr(reward, "scope", ""),
    )


def adapt_apart(name: str, reward: ApartReward) -> AdaptedReward:
    """Return a reward that runs in workers as core calls it; the workers have read its signature."""
    told = reward.info
    return AdaptedReward(
        name=name,
        reward=reward,
        dialect=told["dialect"],
        asks_truths=told["asks_truths"],
        required=tuple(told["required"]),
        optional=tuple(told["optional"]),
        takes_all=told["takes_all"],
        scope=told["scope"],
    )


def build_rewards(plan: RunPlan) -> list[RewardPart]:
    """Return the rewards of the run file, each under a name of its own.

    Raises:
        SwiftError: A reward cannot be loaded or is written in neither dialect; all of them are told.
    """
    names = [part.plugin.name for part in plan.rewards]
    parts, problems = [], []
    for index, part in enumerate(plan.rewards):
        name = part.plugin.name if names.count(part.plugin.name) == 1 else f"{part.plugin.name}_{index}"
        try:
            adapted = replace(
                _adapted(plan, part, name), policy=_policy(plan, part), aggregate=part.aggregate, when=part.when
            )
            kind: Any = part.kind
            parts.append(RewardPart(name, part.weight, adapted, kind, part.schedule))
        except ValueError as error:
            where = plan.config.place(part.key)
            problems.append(Problem("broken-plugin", f"{error}.", where, part.plugin.info_command))
    if problems:
        raise SwiftError(problems)
    return parts


def _adapted(plan: RunPlan, part: PartPlan, name: str) -> AdaptedReward:
    """Build a reward here, or start it in workers."""
    if runs_apart(plan, part):
        return adapt_apart(name, ApartReward(name, start(plan, part)))
    return adapt_reward(name, plan.create(part))


def _policy(plan: RunPlan, part: PartPlan) -> FailurePolicy:
    settings = plan.settings.reward
    step = in_process_step(plan, part) if runs_apart(plan, part) else part.plugin.info_command
    brought_by = part.plugin.in_full.partition(repr(part.plugin.name))[2]
    return FailurePolicy(
        settings.on_error,
        settings.max_failure_rate,
        plan.config.place(part.key),
        step,
        part.plugin.info_command,
        brought_by,
    )


def columns_of(records: Sequence[Record]) -> dict[str, list[Any]]:
    """Return every column of the rows by name, None where a row lacks it."""
    names = sorted({name for record in records for name in record.columns})
    return {name: [record.columns.get(name) for record in records] for name in names}


def result_of(scores: Any) -> Any:
    """Return the scores; those of an `async` reward are awaited."""
    return asyncio.run(_awaited(scores)) if inspect.isawaitable(scores) else scores


async def _awaited(scores: Any) -> Any:
    return await scores


def checked_scores(name: str, scores: Any, count: int) -> list[float | None]:
    """Return the scores as floats; raise ValueError naming the reward when they are not what a reward returns."""
    return [_number(name, index, score) for index, score in enumerate(_counted(name, scores, count))]


def checked_steps(name: str, scores: Any, count: int) -> list[Any]:
    """Return the scores of a process reward, which may be one for each step of an answer."""
    return [
        [_number(name, index, step) for step in score]
        if hasattr(score, "__iter__") and not isinstance(score, (str, bytes))
        else _number(name, index, score)
        for index, score in enumerate(_counted(name, scores, count))
    ]


def step_scores(score: float | Sequence[float | None] | None) -> list[float] | None:
    """Return the scores of an answer's steps; None where it was not judged, or a step of it was not."""
    if score is None or isinstance(score, float):
        return None if score is None else [score]
    known = [step for step in score if step is not None]
    return known if len(known) == len(score) else None


def _counted(name: str, scores: Any, count: int) -> Any:
    if isinstance(scores, (str, bytes, Mapping)) or not hasattr(scores, "__len__") or not hasattr(scores, "__iter__"):
        raise ValueError(f"reward {name!r} returned {type(scores).__name__}, not a list of one score per answer")
    if len(scores) != count:
        raise ValueError(f"reward {name!r} returned {len(scores)} scores for {count} answers")
    return scores


def _number(name: str, index: int, score: Any) -> float | None:
    if score is None:
        return None
    try:
        value = math.nan if isinstance(score, str) else float(score)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(
            f"reward {name!r} scored answer {index} as {score!r}; a score is a finite number, or None to abstain"
        )
    return value


def _prompt(request: InferRequest) -> list[Mapping[str, Any]]:
    """Return the conversation without the answer."""
    messages = list(request.messages)
    answered = (
        bool(messages) and messages[-1].get("role") == "assistant" and messages[-1].get("content") == request.response
    )
    return messages[:-1] if answered else messages
