"""Held-out figures beside the loss: metrics on predictions, and metrics and samples on generated answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from swift_core.assemble.broken_part import failure, named, wrong_return
from swift_core.assemble.generate import generate
from swift_core.assemble.rewards import columns_of
from swift_core.contracts.metric import Generations, Metric, Predictions
from swift_core.contracts.reward import InferRequest
from swift_core.errors import Problem, SwiftError
from swift_core.train.held_out import in_turn, share_of

if TYPE_CHECKING:
    from torch import Tensor

    from swift_core.contracts.data import Record
    from swift_core.contracts.handover import PartPlan, Parts

NUM_SAMPLES = 5
"""Answers shown before and after training."""


class PredictionMetrics:
    """Collects what each metric keeps of a batch's logits; the logits themselves are dropped at once."""

    def __init__(self, parts: Parts) -> None:
        """Take the metrics of `parts` that eat predictions."""
        self._parts = parts
        self._metrics: list[tuple[str, Metric, list[Tensor], list[Tensor]]] = [
            (name, metric, [], []) for name, metric in parts.metrics if metric.eats == "predictions"
        ]

    def add(self, outputs: Any, batch: Mapping[str, Tensor], *, counts: bool = True) -> None:
        """Look at one batch's outputs, as the loss has read them; without metrics no logits are formed."""
        if not self._metrics:
            return
        if any(hasattr(metric, "preprocess_logits") for _, metric, _, _ in self._metrics):
            _ = outputs.logits  # also of a batch that does not count: all ranks must pass through the model alike
        if not counts:
            return
        for name, metric, values, labels in self._metrics:
            values.append(self._kept(name, metric, outputs, batch["labels"]))
            labels.append(batch["labels"].cpu())

    def _kept(self, name: str, metric: Any, outputs: Any, labels: Tensor) -> Tensor:
        """Return what a metric keeps of a batch: a tensor of its own, so that no view keeps the logits alive."""
        part = _part(self._parts, name)
        try:
            if hasattr(metric, "preprocess_outputs"):
                value, most = metric.preprocess_outputs(outputs), None
            else:
                value, most = metric.preprocess_logits(outputs.logits, labels), outputs.logits.numel()
        except (torch.OutOfMemoryError, SwiftError):
            raise
        except Exception as error:  # whatever a stranger's code raises
            raise failure(self._parts.plan, part, error) from error
        if not isinstance(value, torch.Tensor):
            method = "preprocess_logits" if most else "preprocess_outputs"
            raise wrong_return(self._parts.plan, part, method, "a tensor", value)
        if most is not None and value.numel() >= most:
            message = f"preprocess_logits of {named(part)} kept all {most:,} logits of a batch: it must reduce them."
            place = self._parts.plan.config.place(part.key)
            raise SwiftError(Problem("broken-plugin", message, place, part.plugin.info_command))
        return value.detach().cpu().clone()

    def compute(self) -> dict[str, float]:
        """Return the figures of every metric, on the batches of all ranks in their order."""
        result: dict[str, float] = {}
        for name, metric, values, labels in self._metrics:
            result |= _computed(self._parts, name, metric, Predictions(in_turn(values), in_turn(labels)))
        return result


def checked(parts: Parts, name: str, figures: Mapping[str, float]) -> dict[str, float]:
    """Return a metric's figures; raise SwiftError when it returned something else than numbers by name."""
    if not isinstance(figures, Mapping) or not all(
        isinstance(key, str) and isinstance(value, int | float) for key, value in figures.items()
    ):
        part = _part(parts, name)
        message = f"{named(part)} must return numbers by name, got {_short(figures)}."
        place = parts.plan.config.place(part.key)
        raise SwiftError(Problem("metric-failed", message, place, part.plugin.info_command))
    return dict(figures)


def _part(parts: Parts, name: str) -> PartPlan:
    """Return the metric called `name` as the run file chose it."""
    return next(part for part in parts.plan.metrics if part.plugin.name == name)


def _short(value: object) -> str:
    shown = " ".join(repr(value).split())
    return shown if len(shown) <= 80 else f"{shown[:77]}..."


@dataclass(frozen=True, slots=True)
class Answers:
    """The model's answers to held-out prompts."""

    records: Sequence[Record]
    responses: Sequence[str]

    def expected(self) -> list[str | None]:
        """Return what each answer should be: the completion unless it is unwanted, or the chosen one of a pair."""
        completions = [None if record.label is False else record.completion for record in self.records]
        pairs = zip(completions, self.records, strict=True)
        return [_text(record.chosen if completion is None else completion) for completion, record in pairs]

    def generations(self, parts: Parts) -> Generations:
        """Return them as metrics read them."""
        return Generations(
            infer_requests=[_request(r, a) for r, a in zip(self.records, self.responses, strict=True)],
            ground_truths=[record.ground_truth for record in self.records],
            expected=self.expected(),
            columns=columns_of(self.records),
            rewards=parts.rewards,
        )


def answer(parts: Parts, *, all_rows: bool = False) -> Answers:
    """Let the model answer held-out prompts: all the metrics need, or a few samples when no metric asks.

    Each rank answers its share of them.

    With `all_rows`, as many as metrics would have.

    A classifier answers nothing.
    """
    train = parts.plan.settings.train
    if getattr(parts.procedure, "model_head", "causal_lm") != "causal_lm":
        return Answers([], [])
    asked = all_rows or any(metric.eats == "generations" for _, metric in parts.metrics)
    records = [record for record in parts.eval_records if record.prompt is not None]
    records = records[: train.eval_generation_rows if asked else min(NUM_SAMPLES, train.eval_generation_rows)]
    shared = share_of(records)
    own = generate(
        parts.model,
        parts.encoder,
        [record.prompt for record in shared if record.prompt is not None],
        images=[record.media for record in shared],
        max_new_tokens=train.max_completion_length,
        batch_size=train.per_device_eval_batch_size,
    )
    return Answers(records, in_turn(own)[: len(records)])


def generation_metrics(parts: Parts, answers: Answers) -> dict[str, float]:
    """Return the figures of the metrics that eat generations."""
    result: dict[str, float] = {}
    generations = answers.generations(parts)
    for name, metric in parts.metrics:
        if metric.eats == "generations":
            if not answers.records:
                raise SwiftError(
                    Problem(
                        "no-prompts",
                        f"metric {name!r} needs held-out prompts and there are none.",
                        parts.plan.config.place("train.metrics"),
                        "give data.val_dataset rows with a prompt",
                    )
                )
            figures = _computed(parts, name, metric, generations)
            result |= {f"eval_{key}": value for key, value in figures.items()}
    return result


def _computed(parts: Parts, name: str, metric: Metric, evaluation: Predictions | Generations) -> dict[str, float]:
    """Return the figures of one metric; what it or a reward refuses is told at the metric's place."""
    try:
        return checked(parts, name, metric.compute(evaluation))
    except ValueError as error:
        part = _part(parts, name)
        place = parts.plan.config.place(part.key)
        message = f"{named(part)}: {error}."
        raise SwiftError(Problem("metric-failed", message, place, part.plugin.info_command)) from error
    except SwiftError:
        raise
    except Exception as error:  # whatever a stranger's code raises
        raise failure(parts.plan, _part(parts, name), error) from error


def samples(before: Answers, after: Answers) -> list[dict[str, Any]]:
    """Return the first prompts with both answers."""
    rows = zip(before.records, before.expected(), before.responses, after.responses, strict=True)
    return [
        {"prompt": _text(record.prompt), "expected": record.ground_truth if expected is None else expected}
        | {"before": old, "after": new}
        for record, expected, old, new in list(rows)[:NUM_SAMPLES]
    ]


def _request(record: Record, response: str) -> InferRequest:
    prompt = record.prompt or ""
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(turn) for turn in prompt]
    return InferRequest(messages=[*turns, {"role": "assistant", "content": response}], response=response)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return "\n".join(str(turn.get("content", "")) for turn in value)
