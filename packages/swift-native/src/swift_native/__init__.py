"""Optimizers with C++ kernels. Importing this package imports no torch; what needs it does, when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from swift_native.isa import current_isa, select_isa, usable_isas

if TYPE_CHECKING:
    from swift_native.adafactor import Adafactor
    from swift_native.adamw import AdamW
    from swift_native.clip import clip_grad_norm_, grad_norm
    from swift_native.lion import Lion
    from swift_native.low_rank import adamw_moves_
    from swift_native.sgd import SGD

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Adafactor",
    "AdamW",
    "Lion",
    "adamw_moves_",
    "clip_grad_norm_",
    "current_isa",
    "grad_norm",
    "select_isa",
    "usable_isas",
]

_MODULES = {
    "Adafactor": "adafactor",
    "AdamW": "adamw",
    "Lion": "lion",
    "SGD": "sgd",
    "adamw_moves_": "low_rank",
    "clip_grad_norm_": "clip",
    "grad_norm": "clip",
}
"""Name -> module, imported on first use."""


def __getattr__(name: str) -> object:
    """Import what needs torch on first use."""
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
