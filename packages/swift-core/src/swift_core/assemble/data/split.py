"""The held-out share of a data set: decided for each row by what it says, so that other rows do not change it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def draw_of(values: Mapping[str, Any], seed: int) -> float:
    """Return a number in [0, 1) that depends on the seed and on the row alone; rows that say the same have the same.

    A row is held out when it is below `data.split_dataset_ratio`. So a row stays on its side when rows are added,
    removed or sorted, a larger share only adds held-out rows, and no held-out row is trained on as its own copy.
    """
    text = json.dumps(values, sort_keys=True, ensure_ascii=False, default=str)
    digest = hashlib.blake2b(f"{seed} {text}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
