"""Model sources: from a model id to a local folder in transformers' layout."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Hub(Protocol):
    """A `swift.hubs` plugin, built without options. Loading it must not import torch or transformers."""

    def claims(self, model_id: str, base: Path) -> bool:
        """Say whether `model_id`, written in a run file in folder `base`, is this source's."""

    def peek(self, model_id: str, revision: str, base: Path) -> Path | None:
        """Return the folder when it is already on this machine, without network and without work."""

    def fetch(self, model_id: str, revision: str, base: Path) -> Path:
        """Return the folder, downloading or converting first when needed; ValueError says why it cannot."""
