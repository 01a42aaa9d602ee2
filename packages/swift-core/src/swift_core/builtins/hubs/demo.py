"""The demo model, made on this machine the first time it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PREFIX = "demo:"


class Demo:
    """`demo:tiny`, a Llama of 0.1 M parameters that is pre-trained in some 15 seconds and then kept in the cache."""

    def claims(self, model_id: str, base: Path) -> bool:
        """Say whether `model_id` starts with `demo:`."""
        return model_id.startswith(_PREFIX)

    def peek(self, model_id: str, revision: str, base: Path) -> Path | None:
        """Return the folder in the cache when the model was made before."""
        from swift_core.demo.recipe import tiny_folder

        if model_id != "demo:tiny":
            return None
        folder = tiny_folder()
        return folder if folder.is_dir() else None

    def fetch(self, model_id: str, revision: str, base: Path) -> Path:
        """Return the folder, training the model first when needed; raise ValueError for another name."""
        from swift_core.demo.recipe import cached_tiny

        if model_id != "demo:tiny":
            raise ValueError(f"{model_id!r} is no demo model; there is demo:tiny")
        return cached_tiny()
