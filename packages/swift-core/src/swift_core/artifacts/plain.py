"""From the values of a live run to data that JSON can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def scalar(value: Any) -> Any:
    """Return numbers, text, truth values and None as they are, scalars of torch as Python's, the rest as text."""
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    is_single = getattr(value, "size", None) == 1 or (hasattr(value, "numel") and value.numel() == 1)
    return value.item() if is_single else str(value)


def is_nonfinite(value: object) -> bool:
    """Say whether `value` is nan or an infinity, which JSON does not know."""
    return isinstance(value, float) and not math.isfinite(value)


def plain(value: Any) -> Any:
    """Return `value` as JSON data, all the way down; a figure that is no finite number becomes text (`"nan"`)."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    single = scalar(value)
    return str(single) if is_nonfinite(single) else single
