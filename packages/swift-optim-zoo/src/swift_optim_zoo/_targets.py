"""Which parameters a matrix method takes: by name patterns and by shape."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def name_matches(name: str, patterns: Sequence[str]) -> bool:
    """Say whether one pattern fits; with `*`, `?` or `[` it is a glob over the whole name, else a part of it."""
    return any(fnmatchcase(name, pattern) if set(pattern) & set("*?[") else pattern in name for pattern in patterns)


def is_target(name: str, param: Tensor, *, rank: int, include: Sequence[str], exclude: Sequence[str]) -> bool:
    """Say whether `param` is a matrix of at least `rank` on its shorter side whose name is included and not excluded.

    An unnamed parameter (`name` empty) is judged by its shape alone.
    """
    if param.dim() != 2 or rank > min(param.shape):
        return False
    return not name or (name_matches(name, include) and not name_matches(name, exclude))
