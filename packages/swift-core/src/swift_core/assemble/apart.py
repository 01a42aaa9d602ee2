"""Rewards and metrics of others, each run in confined processes of its own: what they say comes back as plain data.

Which parts, and how well confined, is said in `plugins.sandbox`. The code of such a part is never imported here, not
even to see its signature: the worker tells it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from swift_core.assemble.broken_part import told, wrong_return
from swift_core.contracts.pool import Work, Workers
from swift_core.contracts.reward import InferRequest, RewardFailure, RewardScores
from swift_core.errors import Problem, SwiftError
from swift_core.ms_swift.arguments import part_arguments
from swift_core.plugins.cpp_source import is_cpp
from swift_core.plugins.identity import content_hash
from swift_core.plugins.source import find_module
from swift_core.sandbox.failures import SandboxUnavailableError, WorkerFailure, WorkerStartError
from swift_core.sandbox.levels import Level, require_everywhere

if TYPE_CHECKING:
    from pathlib import Path

    from swift_core.contracts.handover import PartPlan, RunPlan
    from swift_core.contracts.metric import Generations

_logger = logging.getLogger(__name__)

_KINDS = ("orm", "prm", "metric")
"""Text in, numbers out: what can be asked over a pipe."""

_TOLD = ("kind", "name", "target", "distribution", "version", "origin", "dialect")
"""What a worker is told of a plugin, beside its path."""

_WORKERS = ("start", "call", "map", "close")
"""What workers of a pool can do."""

_SERVE = "swift_core.assemble.apart_child:serve"


def runs_apart(plan: RunPlan, part: PartPlan) -> bool:
    """Say whether a part runs in a process of its own.

    Not ours unless asked, not what was registered in this process, not what works on live tensors, not what confines
    its own work, and not what the run file trusts.
    """
    settings, plugin = plan.settings.plugins.sandbox, part.plugin
    if part.kind not in _KINDS or settings.mode == "off" or plugin.origin == "registered":
        return False
    if plugin.first_party and (settings.mode != "all" or part.source.declared.get("own_sandbox")):
        return False
    if part.kind == "metric" and part.source.declared.get("eats") == "predictions":
        return False
    return not _is_trusted(plan, part)


def _is_trusted(plan: RunPlan, part: PartPlan) -> bool:
    names = {part.plugin.distribution, part.plugin.qualified}
    folder = plan.config.path.parent
    return any(
        name in names or (part.plugin.path is not None and (folder / name).resolve() == part.plugin.path)
        for name in plan.settings.plugins.sandbox.in_process
    )


def check_sandbox(plan: RunPlan) -> None:
    """Hold everything in this process to `plugins.sandbox.require`.

    Raises:
        SwiftError: The machine does not reach it.
    """
    level: Level = plan.settings.plugins.sandbox.require
    require_everywhere(level)
    if level == "L1":
        return
    from swift_core.sandbox.probe import require

    try:
        require(level)
    except SandboxUnavailableError as error:
        raise _placed(plan, "plugins.sandbox.require", error) from error


def start(plan: RunPlan, part: PartPlan) -> Workers:
    """Return the workers of a part, by the pool of the run file; one runs, and its `info` is what the part says.

    Raises:
        SwiftError: The part may not run, cannot be imported, or cannot be confined as well as required.
    """
    plan.permit(part)
    settings, key = plan.settings.plugins.sandbox, part.key
    asked = {"kind": part.kind, "plugin": _plugin(part), "options": dict(part.options)}
    work = Work(
        target=_SERVE,
        options=asked | {"args": part_arguments(plan, part)},
        num_workers=settings.workers,
        timeout=settings.timeout,
        memory=int(settings.memory * 2**30),
        require=settings.require,
        readable=(*_code(part), *(str(plan.config.path.parent / path) for path in settings.readable)),
    )
    workers = _workers(plan, work)
    try:
        started = workers.start()
    except SandboxUnavailableError as error:
        raise _placed(plan, "plugins.sandbox.require", error) from error
    except WorkerStartError as error:
        message = f"the {part.kind} {part.plugin.name!r} does not start in its sandbox: {error.failure}."
        raise SwiftError(
            Problem("broken-plugin", message, plan.config.place(key), in_process_step(plan, part))
        ) from error
    if started.info["content"] != _content(part):
        message = f"the {part.kind} {part.plugin.name!r} has other code where its workers run than it has here."
        next_step = "keep the same files and install the same wheels on every machine"
        raise SwiftError(Problem("pool-differs", message, plan.config.place(key), next_step))
    return workers


def _workers(plan: RunPlan, work: Work) -> Workers:
    """Return what the pool of the run file gives for some work."""
    assert plan.pool is not None  # found for every plan with rewards or metrics
    with told(plan, plan.pool):
        workers: Workers = plan.create(plan.pool).workers(work)
    if not all(callable(getattr(workers, name, None)) for name in _WORKERS):
        raise wrong_return(plan, plan.pool, "workers", f"workers, with {', '.join(_WORKERS)}", workers)
    return workers


def in_process_step(plan: RunPlan, part: PartPlan) -> str:
    """Return how to run a part with all rights, for messages: its wheel, or its file as the run file may name it."""
    path, folder = part.plugin.path, plan.config.path.parent.resolve()
    name = part.plugin.distribution if path is None else str(path)
    if path is not None and path.is_relative_to(folder):
        name = f"./{path.relative_to(folder)}"
    return f"plugins: {{sandbox: {{in_process: [{name}]}}}} runs it with all your rights"


def _placed(plan: RunPlan, key: str, error: SwiftError) -> SwiftError:
    return SwiftError(replace(problem, place=plan.config.place(key)) for problem in error.problems)


def _plugin(part: PartPlan) -> dict[str, Any]:
    spec = part.plugin
    said = {name: getattr(spec, name) for name in _TOLD}
    return said | {"path": str(_importable(spec.path)) if spec.path else ""}


def _content(part: PartPlan) -> str:
    """Return the hash of the code that workers are to import."""
    spec = part.plugin
    return content_hash(replace(spec, path=_importable(spec.path)) if spec.path else spec)


def _importable(path: Path) -> Path:
    """Return what a worker imports: of a C++ file the module, built here since a worker may start no compiler."""
    if not is_cpp(path):
        return path
    from swift_core.plugins.cpp_build import built

    return built(path)


def _code(part: PartPlan) -> list[str]:
    """Return where the code of a part lies: its file, or its package, which an editable install has anywhere."""
    if part.plugin.path is not None:
        return [str(part.plugin.path), str(_importable(part.plugin.path))]
    words = part.plugin.target.partition(":")[0].split(".")
    found = (find_module(".".join(words[:length])) for length in range(1, len(words) + 1))
    path = next((path for path in found if path), None)
    return [str(path.parent if path.stem == "__init__" else path)] if path else []


class ApartReward:
    """An outcome or process reward in workers: called as it would be here."""

    def __init__(self, name: str, pool: Workers) -> None:
        """Take the workers of the reward called `name`."""
        self._name = name
        self._pool = pool
        self.info: dict[str, Any] = pool.start().info

    def __call__(self, *first: Sequence[Any], **columns: Sequence[Any]) -> RewardScores:
        """Return the scores of a batch, with the failures of single answers.

        Raises:
            ValueError: The reward found the data broken, or the data cannot be sent.
        """
        count = len(first[0]) if first else 0
        scope = self.info["scope"]
        if count == 0:
            return RewardScores([])
        if scope == "sample":
            return self._singly(first, columns, count)
        (answer,) = self._asked([_item(first, columns, slice(None))])
        if not isinstance(answer, WorkerFailure):
            return _scores([answer], [count])
        if scope or count == 1 or answer.exception == "ValueError":
            return _scores([answer], [count])
        _logger.warning(
            "reward %r failed on a batch of %d (%s); its answers are scored singly, which is right only if they do not "
            "depend on each other: say so in its class with `scope = 'sample'`, or 'batch'",
            self._name,
            count,
            answer,
        )
        return self._singly(first, columns, count)

    def _singly(self, first: Sequence[Sequence[Any]], columns: dict[str, Sequence[Any]], count: int) -> RewardScores:
        items = [_item(first, columns, slice(row, row + 1)) for row in range(count)]
        return _scores(self._asked(items), [1] * count)

    def _asked(self, items: list[Any]) -> list[Any]:
        try:
            return self._pool.map(items)
        except TypeError as error:
            raise ValueError(
                f"reward {self._name!r} runs in another process, and a column is no JSON: {error}"
            ) from error

    def close(self) -> None:
        """End the workers."""
        self._pool.close()


def _item(first: Sequence[Sequence[Any]], columns: dict[str, Sequence[Any]], rows: slice) -> dict[str, Any]:
    """Return some rows of a call as plain data."""
    return {
        "first": [[_plain(value) for value in values[rows]] for values in first],
        "columns": {name: list(values[rows]) for name, values in columns.items()},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, InferRequest):
        return {"messages": [dict(message) for message in value.messages], "response": value.response}
    return value


def _scores(answers: Sequence[Any], counts: Sequence[int]) -> RewardScores:
    """Return the scores of answers that stand for so many rows each."""
    scores: list[Any] = []
    failures: dict[int, RewardFailure] = {}
    for answer, count in zip(answers, counts, strict=True):
        begun = len(scores)
        if isinstance(answer, WorkerFailure):
            if answer.exception == "ValueError":  # broken data, as a reward says it
                raise ValueError(answer.message if len(answers) == 1 else f"answer {begun}: {answer.message}")
            failures |= {begun + row: RewardFailure(answer.kind, str(answer)) for row in range(count)}
            scores += [None] * count
            continue
        scores += answer["scores"]
        failures |= {begun + int(row): RewardFailure(*failure) for row, failure in answer["failures"].items()}
    return RewardScores(scores, failures)


class ApartMetric:
    """A metric on generated answers, in a worker."""

    eats: ClassVar[Literal["predictions", "generations"]] = "generations"

    def __init__(self, name: str, pool: Workers) -> None:
        """Take the workers of the metric called `name`."""
        self._name = name
        self._pool = pool

    def compute(self, generations: Generations, /) -> dict[str, float]:
        """Return its figures; raise ValueError when it fails."""
        try:
            figures: dict[str, float] = self._pool.call(_generations(generations))
        except WorkerFailure as failure:
            raise ValueError(f"{failure.message if failure.exception == 'ValueError' else failure}") from failure
        except TypeError as error:
            raise ValueError(f"it runs in another process, and a column is no JSON: {error}") from error
        return figures


def _generations(generations: Generations) -> dict[str, Any]:
    """Return the answers as plain data; rewards come along as the scores they gave."""
    rewards = []
    for part in generations.rewards:
        given: Any = part.score
        scores = given(generations.infer_requests, generations.ground_truths, **generations.columns)
        rewards.append({"name": part.name, "weight": part.weight, "kind": part.kind, "scores": list(scores)})
    return {
        "infer_requests": [_plain(request) for request in generations.infer_requests],
        "ground_truths": list(generations.ground_truths),
        "expected": list(generations.expected),
        "columns": {name: list(values) for name, values in generations.columns.items()},
        "rewards": rewards,
    }


def build_metrics(plan: RunPlan) -> list[tuple[str, Any]]:
    """Return the metrics of the run file, those of others in processes of their own.

    Raises:
        SwiftError: A metric cannot be built or started.
    """
    return [(part.plugin.name, build_metric(plan, part)) for part in plan.metrics]


def build_metric(plan: RunPlan, part: PartPlan) -> Any:
    """Return one metric, here or in a process of its own."""
    if not runs_apart(plan, part):
        return plan.create(part)
    pool = start(plan, part)
    if pool.start().info["eats"] == "generations":
        return ApartMetric(part.plugin.name, pool)
    pool.close()
    return plan.create(part)  # it works on live tensors


def ask_about_files(plan: RunPlan) -> None:
    """Load the plugins in files, which asks whether their folders are trusted; of those that run apart, only ask."""
    for part in plan.parts:
        if part.plugin.path is not None:
            (plan.permit if runs_apart(plan, part) else plan.load)(part)
