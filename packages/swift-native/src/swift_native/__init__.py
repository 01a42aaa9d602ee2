"""Optimizers with C++ kernels. Importing this package imports no torch; `AdamW` does, when it is first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_native.isa import current_isa, select_isa, usable_isas

if TYPE_CHECKING:
    from swift_native.adamw import AdamW

__version__ = "0.1.0"

__all__ = ["AdamW", "current_isa", "select_isa", "usable_isas"]


def __getattr__(name: str) -> object:
    """Import `AdamW`, and with it torch, on first use."""
    if name == "AdamW":
        from swift_native.adamw import AdamW

        return AdamW
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
