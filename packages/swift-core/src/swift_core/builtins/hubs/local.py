"""Models in a folder of this machine: in transformers' layout, or a run directory with what it trained."""

from __future__ import annotations

import os
from pathlib import Path


class Local:
    """A folder, absolute or relative to the run file. A run directory stands for the model it trained."""

    def claims(self, model_id: str, base: Path) -> bool:
        """Say whether `model_id` is written like a path, or is a folder."""
        return model_id.startswith(("/", "./", "../", "~")) or model_id in (".", "..") or _path(model_id, base).is_dir()

    def peek(self, model_id: str, revision: str, base: Path) -> Path | None:
        """Return the folder of the weights; None when there is none, or an adapter must first be merged."""
        return _weights_folder(_path(model_id, base))

    def fetch(self, model_id: str, revision: str, base: Path) -> Path:
        """Return the folder of the weights; raise ValueError when it holds no model."""
        folder = _path(model_id, base)
        if found := _weights_folder(folder):
            return found
        if (folder / "adapter").is_dir() and (folder / "plan.json").is_file():
            from swift_core.assemble.trained import merged

            return merged(folder)
        if not folder.is_dir():
            raise ValueError(f"there is no folder {folder}")
        raise ValueError(f"{folder} holds no model: config.json is missing")


def _path(model_id: str, base: Path) -> Path:
    return base / os.path.expanduser(model_id)


def _weights_folder(folder: Path) -> Path | None:
    """Return `folder`, or the `model` folder of a run directory, whichever has a configuration."""
    return next((place for place in (folder, folder / "model") if (place / "config.json").is_file()), None)
