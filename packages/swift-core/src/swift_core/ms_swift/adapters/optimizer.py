"""An optimizer of ms-swift: `(args, model, dataset) -> (optimizer, scheduler | None)`, or a class that creates both."""

from __future__ import annotations

import dataclasses
import inspect
import traceback
from typing import TYPE_CHECKING, Any

from swift_core.errors import Place, Problem, SwiftError
from swift_core.ms_swift.arguments import Arguments, TrainerView, accepted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from swift_core.contracts.plugin import PluginSpec
    from swift_core.contracts.settings import TrainSettings


def adapted(plugin: Any, spec: PluginSpec) -> Callable[..., Any]:
    """Return the optimizer as ours, in the form (args, model, dataset)."""

    def make(
        args: TrainSettings, model: Any, dataset: Any, *, arguments: Mapping[str, Any] | None = None, **unknown: Any
    ) -> tuple[Any, Any]:
        if unknown:
            message = f"the optimizer {spec.name!r} is written for ms-swift and has one option, arguments."
            raise SwiftError(Problem("unknown-option", message, next_step=f"write {{arguments: {dict(unknown)}}}"))
        known = Arguments(dataclasses.asdict(args), arguments or {})
        try:
            if inspect.isclass(plugin):
                return _of_class(plugin, known, model, dataset)
            optimizer, schedule = plugin(known, model, dataset)
        except SwiftError:
            raise
        except Exception as error:  # whatever a stranger's code raises is told with its line
            raise _failed(spec, error) from error
        return optimizer, schedule

    return make


def _of_class(plugin: type, args: Arguments, model: Any, dataset: Any) -> tuple[Any, Any]:
    callback: Any = plugin(args, TrainerView(args, model=model, train_dataset=dataset, is_model_parallel=False))
    optimizer = callback.create_optimizer(model)
    create = getattr(callback, "create_scheduler", None)
    if create is None:
        return optimizer, None

    def schedule(over: Any, *, num_warmup_steps: int, num_training_steps: int) -> Any:
        return create(**accepted(create, {"num_training_steps": num_training_steps, "optimizer": over}))

    return optimizer, schedule


def _failed(spec: PluginSpec, error: Exception) -> SwiftError:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(spec.path)]
    place = Place(str(spec.path), frames[-1].lineno or 1, 1, frames[-1].line or "") if frames else None
    message = f"the optimizer {spec.name!r} raised {type(error).__name__}: {error}."
    return SwiftError(Problem("optimizer-failed", message, place, "mend the file"))
