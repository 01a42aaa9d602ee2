"""From the lines of `metrics.jsonl` to the charts of a report: one a figure, held-out values beside training's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_HELD_OUT = "eval_"
_FIRST = ("loss", "reward_accuracy", "reward_margin", "orm_accuracy", "exact_match", "learning_rate", "grad_norm")
_TITLES = {"loss": "Loss", "learning_rate": "Learning rate", "grad_norm": "Gradient norm"}
_BOOKKEEPING = ("runtime", "samples_per_second", "steps_per_second", "total_flos", "jit_compilation_time")


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure over the steps of a run."""

    title: str
    steps: list[int]
    series: dict[str, list[float | None]]
    """By label, one value a step; None where nothing was logged, or no finite number."""

    nonfinite: list[str]
    """What was no finite number, in words: `loss was nan at step 3`."""


def charts(metrics: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Return a chart for each logged figure, the ones most looked at first."""
    figures = dict.fromkeys(_figure(name) for line in metrics for name in _names(line))
    known = [name for name in _FIRST if name in figures]
    return [_chart(name, metrics) for name in (*known, *(name for name in figures if name not in _FIRST))]


def _names(line: Mapping[str, Any]) -> Iterable[str]:
    """Return the names of the figures in a line that are worth a curve."""
    for name, value in line.items():
        if name in {"step", "epoch", "time", "nonfinite"} or name == "train_loss":
            continue
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        is_lost_number = value is None and name in line.get("nonfinite", {})
        if (is_number or is_lost_number) and not name.endswith(_BOOKKEEPING):
            yield name


def _figure(name: str) -> str:
    return name.removeprefix(_HELD_OUT)


def _chart(figure: str, metrics: Sequence[Mapping[str, Any]]) -> Chart:
    values: dict[str, dict[int, float | None]] = {}
    nonfinite = []
    for line in metrics:
        for name in (figure, _HELD_OUT + figure):
            if name in _names(line):
                label = "held out" if name.startswith(_HELD_OUT) else "training"
                values.setdefault(label, {})[line["step"]] = line[name]
                if line[name] is None:
                    nonfinite.append(f"{name} was {line['nonfinite'][name]} at step {line['step']}")
    steps = sorted({step for points in values.values() for step in points})
    series = {label: [points.get(step) for step in steps] for label, points in values.items()}
    return Chart(_TITLES.get(figure, figure.replace("_", " ").capitalize()), steps, series, nonfinite)
