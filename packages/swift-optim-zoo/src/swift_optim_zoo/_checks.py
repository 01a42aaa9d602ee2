"""Checks of options that the optimizers of this package share; each raises ValueError with the value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swift_core.plugin_api import require_between, require_nonnegative

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NONNEGATIVE = ("lr", "eps", "weight_decay")


def check_common(options: Mapping[str, Any]) -> None:
    """Raise ValueError for `lr`, `eps`, `weight_decay` or `betas` out of range; a missing one is passed over."""
    require_nonnegative(**{name: float(options[name]) for name in _NONNEGATIVE if name in options})
    if "betas" in options:
        betas = tuple(options["betas"])
        if len(betas) != 2:
            raise ValueError(f"betas must be two numbers, got {len(betas)}")
        require_between(0.0, 1.0, beta1=betas[0], beta2=betas[1])


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
