"""What a model folder says about itself without being loaded: `config.json` and the headers of its safetensors files.

A safetensors file begins with the length of a JSON header, 8 bytes little-endian; then name -> dtype, shape.
https://huggingface.co/docs/safetensors (format).
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MAX_HEADER = 100_000_000
"""Bytes; the format's own limit."""

BYTES = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model's size and shape."""

    folder: Path
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Of every stored tensor; tied weights are stored once."""

    stored_bytes: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def num_parameters(self) -> int:
        """Return the number of stored weights."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @property
    def has_vision(self) -> bool:
        """Whether its configuration has a part for images."""
        return isinstance(self.config.get("vision_config"), dict)

    @property
    def has_audio(self) -> bool:
        """Whether its configuration has a part for sounds."""
        return isinstance(self.config.get("audio_config"), dict)

    @property
    def modalities(self) -> tuple[str, ...]:
        """What it takes beside text, of `image` and `audio`; of a model that sees and hears, images."""
        return ("image",) if self.has_vision else ("audio",) if self.has_audio else ()

    def number(self, *names: str) -> int:
        """Return the first of the config's numbers that is there, or 0; multimodal models have `text_config`."""
        text = self.config.get("text_config")
        for source in (self.config, text if isinstance(text, dict) else {}):
            for name in names:
                if isinstance(source.get(name), int):
                    return int(source[name])
        return 0


def read_model(folder: Path) -> ModelFacts:
    """Return what is known of the model in `folder`; what cannot be read is left empty."""
    shapes: dict[str, tuple[int, ...]] = {}
    size = 0
    for path in sorted(folder.glob("*.safetensors")):
        for name, tensor in _header(path).items():
            if shape := _shape(tensor):
                shapes[name] = shape
                size += math.prod(shape) * BYTES.get(str(tensor.get("dtype")), 1)
    return ModelFacts(folder, shapes, size, _config(folder / "config.json"))


def _header(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length)) if length < _MAX_HEADER else {}
    except (OSError, struct.error, ValueError, RecursionError):
        return {}
    return header if isinstance(header, dict) else {}


def _shape(tensor: Any) -> tuple[int, ...]:
    """Return the shape in an entry of a header; empty for what is no tensor, and for a single number."""
    shape = tensor.get("shape") if isinstance(tensor, dict) else None
    sizes = shape if isinstance(shape, list) else []
    return tuple(sizes) if all(type(size) is int for size in sizes) else ()


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}
