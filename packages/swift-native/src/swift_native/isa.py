"""The instruction set of the kernels: the widest that the machine runs, unless the environment names another.

`SWIFT_NATIVE_ISA` may be `baseline`, `v3` (AVX2) or `v4` (AVX-512) on x86-64, `baseline` elsewhere. It is read once,
when the package is imported; every choice gives the same results.
"""

from __future__ import annotations

import os

from swift_native import _native


def usable_isas() -> tuple[str, ...]:
    """Return the instruction sets that this machine runs, from plain to widest."""
    return tuple(_native.usable_isas())


def current_isa() -> str:
    """Return the instruction set in use."""
    return _native.current_isa()


def select_isa(name: str) -> None:
    """Use the kernels of another instruction set from now on, in every thread.

    Raises:
        ValueError: This machine does not run `name`.
    """
    _native.select_isa(name)


def _follow_environment() -> None:
    wanted = os.environ.get("SWIFT_NATIVE_ISA", "")
    if wanted and wanted not in usable_isas():
        raise ImportError(f"SWIFT_NATIVE_ISA must be one of {', '.join(usable_isas())} on this machine, got {wanted!r}")
    if wanted:
        select_isa(wanted)


_follow_environment()
