"""Where the functions of torch's C interface are, for cpp/python/tensors.cpp.

torch is no part of the build, so that one wheel serves every torch: functions are looked up by name in what is loaded.
"""

from __future__ import annotations

import ctypes
import sys
from functools import lru_cache
from importlib import import_module
from pathlib import Path

import torch


def address_of(name: str) -> int:
    """Return the address of a function of the loaded torch, or 0 if it has none of that name."""
    try:
        function = getattr(_library(), name)
    except AttributeError:
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    """Return what to search: but on Windows that is torch's module, with all that it was linked to."""
    if sys.platform == "win32":
        return ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "torch_cpu.dll"))
    return ctypes.CDLL(import_module("torch._C").__file__)
