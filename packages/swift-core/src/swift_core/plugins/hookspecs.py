"""The moments of a run at which hooks are called. This file is the whole list; read it to write a hook.

    from swift_core.plugin_api import hookimpl

    class Herald:
        @hookimpl
        def swift_train_end(self, result):
            print(f"trained {result.num_steps} steps")

A wheel offers it as `herald = "my_wheel:Herald"` in the entry-point group `swift.hooks`; a run file asks for it with
`plugins: {enable: [herald]}`. An implementation takes the arguments that it needs, by name. All that are enabled are
called, the last enabled first. One that raises stops the run. New arguments may be added; none is taken away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from swift_core.contracts.hooks import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from swift_core.contracts.handover import Parts, RunConfig, RunPlan, RunResult
    from swift_core.contracts.hooks import ReportSection
    from swift_core.contracts.reward import InferRequest
    from swift_core.errors import Problem

hookspec = pluggy.HookspecMarker(PROJECT)


@hookspec
def swift_validate_config(config: RunConfig) -> Iterable[Problem] | None:
    """Return what is wrong with a run file; the problems are shown with core's own and the run does not start.

    Called once, after the names in the file were resolved and before anything is built. `config.place(key)` is where a
    key stands in the file. Torch is not imported yet and must not be: `swift plan` calls this too.
    """


@hookspec
def swift_plan_ready(plan: RunPlan) -> None:
    """See what will be done, before anything is. Called by `swift train`, not by `swift plan`."""


@hookspec
def swift_train_begin(parts: Parts) -> None:
    """See the live objects before the first step, after the held-out data was judged for the first time."""


@hookspec
def swift_step_end(parts: Parts, step: int, metrics: Mapping[str, float]) -> None:
    """See one optimizer step.

    Args:
        parts: The live objects.
        step: Optimizer steps done, counted from one.
        metrics: What is logged at this step; empty on steps that log nothing.
    """


@hookspec
def swift_evaluated(parts: Parts, step: int, metrics: Mapping[str, float]) -> None:
    """See the held-out metrics, by their logged names, after `step` optimizer steps."""


@hookspec
def swift_checkpoint_saved(parts: Parts, step: int, directory: Path) -> None:
    """See a checkpoint; everything in `directory` is written."""


@hookspec
def swift_rollouts_scored(
    parts: Parts,
    step: int,
    infer_requests: Sequence[InferRequest],
    scores: Mapping[str, Sequence[float | None]],
) -> None:
    """See generated answers with the scores of each reward, by the reward's name; None where a reward abstained."""


@hookspec
def swift_train_end(result: RunResult) -> None:
    """See what training left, before the run directory is completed. Also called for an interrupted run."""


@hookspec
def swift_report_section(result: RunResult) -> ReportSection | None:
    """Return a section of the run's report, or None."""
