"""The words and the plot of a run's progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import plotille  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SKIPPED = ("_runtime", "_per_second", "epoch", "total_flos", "jit_compilation_time", "train_loss")


_MARGIN = 26
"""Columns that a plot's axis and labels take beside the curve."""


def log_line(logs: Mapping[str, Any], *, step: int, num_steps: int, speed: str = "") -> str:
    """Return one log event as one line; empty when it holds no figure worth a reader's time."""
    shown = [f"{name} {_figure(value)}" for name, value in logs.items() if not name.endswith(_SKIPPED)]
    if not shown:
        return ""
    of_all = f"/{num_steps}" if num_steps > 0 else ""
    return "  ".join([f"step {step}{of_all}", *shown, *([speed] if speed else [])])


def loss_plot(losses: Sequence[tuple[int, float]], width: int = 80) -> str:
    """Return a small plot of the loss over steps, at most `width` columns wide, without colours."""
    figure = plotille.Figure()
    figure.width = max(20, min(60, width - _MARGIN))
    figure.height = 8
    figure.with_colors = False
    figure.x_label, figure.y_label = "step", "loss"
    figure.x_ticks_fkt = lambda value, _: f"{value:.0f}"
    figure.y_ticks_fkt = lambda value, _: f"{value:.3g}"
    figure.set_x_limits(min_=losses[0][0], max_=losses[-1][0])
    figure.plot([step for step, _ in losses], [loss for _, loss in losses])
    return str(figure.show())


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
