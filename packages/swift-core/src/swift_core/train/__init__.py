"""From live parts to a trained model: one procedure per stage, on `transformers.Trainer`."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swift_core.contracts.handover import Parts, RunResult
    from swift_core.errors import InterruptedRunError
    from swift_core.train.evaluate import Answers
    from swift_core.train.trainer import SwiftTrainer


def train(parts: Parts) -> RunResult:
    """Judge, train, judge again; return what came of it.

    Raises:
        InterruptedRunError: Ctrl-C or SIGTERM ended it; its checkpoint is in the run directory, and no final model is.
        SwiftError: Something that the user can mend, or code of another wheel broke.
    """
    from swift_core.assemble.broken_part import naming_memory, told

    told_by = told(parts.plan, parts.plan.procedure, own_code=True)
    with naming_memory(parts.plan, "the run was made ready, or its model put together"), told_by:
        return _trained(parts)


def _trained(parts: Parts) -> RunResult:
    from swift_core.contracts.handover import RunResult
    from swift_core.train.engine.whole import unshard_
    from swift_core.train.evaluate import samples
    from swift_core.train.optimizer_state import optimizer_state_bytes
    from swift_core.train.saving import refuse_nonfinite

    trainer = _build(parts)
    before, first_answers = _judge(trainer)
    seconds, stopped_by = _fit(trainer)
    parts.facts["optimizer_state_bytes"] = optimizer_state_bytes(trainer.optimizer)
    steps = trainer.state.global_step
    if stopped_by is not None:
        parts.hooks.hook.swift_train_end(result=RunResult(parts, steps, before, {}, [], seconds, interrupted=True))
        raise _stopped(parts, steps, stopped_by)
    refuse_nonfinite(trainer.module, "the final model")
    after, last_answers = _judge(trainer)
    if parts.plan.parallel.shards_weights:
        unshard_(trainer.module)
    result = RunResult(parts, steps, before, after, samples(first_answers, last_answers), seconds)
    parts.hooks.hook.swift_train_end(result=result)
    return result


def _stopped(parts: Parts, steps: int, number: int) -> InterruptedRunError:
    """Return the end of a run that signal `number` stopped, with the way to go on."""
    from swift_core.errors import InterruptedRunError, Problem, TerminatedRunError

    message = f"stopped after step {steps}; the checkpoint is {parts.directory / f'checkpoint-{steps}'}."
    next_step = f"swift train {parts.plan.config.path} --resume {parts.directory}"
    error = TerminatedRunError if number == signal.SIGTERM else InterruptedRunError
    return error(Problem("interrupted", message, next_step=next_step))


def _build(parts: Parts) -> SwiftTrainer:
    """Return the procedure with core's own callbacks, and prove that it scores what the model predicts."""
    import transformers

    from swift_core.artifacts.drift import identity
    from swift_core.artifacts.metrics import MetricsLog
    from swift_core.artifacts.progress import Progress
    from swift_core.assemble.broken_part import wrong_return
    from swift_core.assemble.vision.rows import telling_row
    from swift_core.train.engine.readback import ReadBack
    from swift_core.train.events import Events
    from swift_core.train.lines import Epochs
    from swift_core.train.observed import Observed
    from swift_core.train.ranks import settle
    from swift_core.train.trainer import SwiftTrainer

    trainer: SwiftTrainer = parts.procedure.build(parts)
    if not isinstance(trainer, SwiftTrainer):
        wanted = "a swift_core.procedures.SwiftTrainer"
        raise wrong_return(parts.plan, parts.plan.procedure, "build", wanted, trainer)
    settle(trainer)
    trainer.saving.about = identity(parts.plan)
    for noisy in (transformers.PrinterCallback, transformers.ProgressCallback):
        trainer.remove_callback(noisy)
    own = (
        MetricsLog(parts.directory, goes_on=parts.resume_from is not None),
        Progress(parts.plan),
        Events(parts),
        Epochs(parts.train_dataset),
    )
    for callback in (ReadBack(trainer), Observed(parts), *own):
        trainer.add_callback(callback)
    if parts.plan.settings.plugins.reload:
        from swift_core.train.reload import Reload

        trainer.add_callback(Reload(trainer))
    for watching in (*parts.callbacks, parts.loss):
        if hasattr(watching, "attach"):
            watching.attach(trainer)
    trainer.prove(trainer._prepare_inputs(parts.collator([telling_row(parts)])))
    return trainer


def _judge(trainer: SwiftTrainer) -> tuple[dict[str, float], Answers]:
    """Return the held-out metrics and the answers they were taken on."""
    from swift_core.train.evaluate import generation_metrics
    from swift_core.train.exhausted import naming_what_ran_out

    with naming_what_ran_out(trainer.parts, lambda: "the judging of held-out rows", judges=True):
        metrics: dict[str, float] = dict(trainer.evaluate()) if trainer.parts.eval_dataset else {}
        answers = trainer.answers()
        generated = generation_metrics(trainer.parts, answers)
    if generated:
        trainer.log(dict(generated))
    return metrics | generated, answers


def _fit(trainer: SwiftTrainer) -> tuple[float, int | None]:
    """Train; return the seconds it took and the signal that ended it, None when it went to its end."""
    from swift_core.train.exhausted import naming_what_ran_out
    from swift_core.train.interrupt import Interrupt

    interrupt = Interrupt(trainer._reduce, trainer.args.world_size)
    trainer.add_callback(interrupt)
    resume = trainer.parts.resume_from
    start = time.monotonic()
    with interrupt.listening(), naming_what_ran_out(trainer.parts, trainer.under_way):
        trainer.train(resume_from_checkpoint=str(resume) if resume else None)
        trainer.show_kept_weights()
    return time.monotonic() - start, interrupt.signal
