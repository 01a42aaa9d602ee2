"""A model as a server loads it: its weights in a folder, with the other files of the model that it came from."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

WEIGHTS = "model.safetensors"
_OTHER_WEIGHTS = (".safetensors", ".safetensors.index.json", ".bin", ".gguf")


def write_model(target: Path, source: Path | None, weights: Mapping[str, Tensor]) -> None:
    """Write a model folder; the weights in it are always whole ones, those before or these.

    Args:
        target: Made when it is not there.
        source: Where configuration and tokenizer are copied from, once; None: they are there.
        weights: By the names that files of the model have.
    """
    from safetensors.torch import save_file

    target.mkdir(parents=True, exist_ok=True)
    for file in source.iterdir() if source and not (target / "config.json").exists() else ():
        if file.is_file() and not file.name.endswith(_OTHER_WEIGHTS):
            shutil.copyfile(file, target / file.name)
    unfinished = target / f"{WEIGHTS}.part"
    kept = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    save_file(kept, unfinished, metadata={"format": "pt"})
    os.replace(unfinished, target / WEIGHTS)


def origin_of(url: str) -> str:
    """Return scheme and host of a URL, where servers have what is not of OpenAI's interface."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
