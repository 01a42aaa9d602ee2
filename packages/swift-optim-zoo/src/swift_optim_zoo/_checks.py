"""Checks of options that the optimizers of this package share; each raises ValueError with the value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swift_core.plugin_api import require_between, require_nonnegative

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NONE = (0.0, 0.0)


def check_common(options: Mapping[str, Any]) -> None:
    """Raise ValueError for `lr`, `eps`, `weight_decay` or `betas` out of range; a missing one is passed over.

    Statements of this form are read before a run without importing anything.
    """
    require_nonnegative(lr=float(options.get("lr", 0.0)), eps=float(options.get("eps", 0.0)))
    require_nonnegative(weight_decay=float(options.get("weight_decay", 0.0)))
    if len(options.get("betas", _NONE)) != 2:
        raise ValueError(f"betas must be two numbers, got {len(options['betas'])}")
    require_between(0.0, 1.0, beta1=options.get("betas", _NONE)[0], beta2=options.get("betas", _NONE)[1])


def require_integer(low: int, **values: object) -> None:
    """Raise ValueError unless every value is an integer >= `low`; True and False are none."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise ValueError(f"{name} must be an integer >= {low}, got {value}")


def require_choice(choices: Sequence[object], **values: object) -> None:
    """Raise ValueError unless every value is one of `choices`."""
    for name, value in values.items():
        if value not in choices:
            raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}, got {value}")
