"""Models in GGUF files, converted once to a folder that transformers can load and train.

The quantised weights are expanded to bfloat16, two bytes each, which is finer than any GGUF quantisation.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from pathlib import Path

from swift_core.cache import cache_dir, make_once

_PREFIX = "gguf:"
_IN_PACKAGE = "package:"
_CONVERSION = 1
"""Raise it when the conversion changes, so that folders made before are not used again."""

_NUM_SAMPLES = 64
_SAMPLE_BYTES = 1 << 16


class GGUF:
    """`gguf:PATH`, a path that ends in `.gguf`, or `gguf:package:NAME` for the file in an installed Python package."""

    def claims(self, model_id: str, base: Path) -> bool:
        """Say whether `model_id` starts with `gguf:` or ends in `.gguf`."""
        return model_id.startswith(_PREFIX) or model_id.endswith(".gguf")

    def peek(self, model_id: str, revision: str, base: Path) -> Path | None:
        """Return the converted folder when this file was converted before."""
        try:
            folder = _converted_folder(_file(model_id, base))
        except ValueError:
            return None
        return folder if folder.is_dir() else None

    def fetch(self, model_id: str, revision: str, base: Path) -> Path:
        """Return the converted folder; raise ValueError when there is no file or it cannot be converted."""
        file = _file(model_id, base)
        return make_once(_converted_folder(file), lambda folder: _convert(file, folder))


def _file(model_id: str, base: Path) -> Path:
    written = model_id.removeprefix(_PREFIX)
    if written.startswith(_IN_PACKAGE):
        return _file_in_package(written.removeprefix(_IN_PACKAGE))
    file = base / os.path.expanduser(written)
    if not file.is_file():
        raise ValueError(f"there is no file {file}")
    return file


def _file_in_package(written: str) -> Path:
    """Return the file `NAME/FILE`, or the only GGUF file of package NAME; the package is not imported."""
    name, _, inner = written.partition("/")
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"no Python package {name!r} is installed")
    folder = Path(next(iter(spec.submodule_search_locations)))
    files = [folder / inner] if inner else sorted(folder.glob("*.gguf"))
    if len(files) != 1 or not files[0].is_file():
        found = ", ".join(file.name for file in sorted(folder.glob("*.gguf"))) or "none"
        raise ValueError(f"package {name!r} does not have the one GGUF file that is meant; it has {found}")
    return files[0]


def _converted_folder(file: Path) -> Path:
    return cache_dir() / "gguf" / f"{file.stem}-{_fingerprint(file)}"


def _fingerprint(file: Path) -> str:
    """Return a digest of the file's size, its start and samples of the rest: reading gigabytes would take too long."""
    size = file.stat().st_size
    digest = hashlib.sha256(f"{_CONVERSION} {size}".encode())
    with file.open("rb") as stream:
        for number in range(_NUM_SAMPLES):
            stream.seek(number * max(size - _SAMPLE_BYTES, 0) // (_NUM_SAMPLES - 1))
            digest.update(stream.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:16]


def _convert(file: Path, folder: Path) -> None:
    if importlib.util.find_spec("gguf") is None:
        raise ValueError("GGUF files need the package gguf: pip install 'swift-core[gguf]'")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    from swift_core.quiet import quiet_loading

    quiet_loading()
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            file.parent,
            gguf_file=file.name,
            trust_remote_code=False,
            dtype=torch.bfloat16,
            # Without it the model says that it is still quantised and refuses to be saved.
            quantization_config=GgufConfig(dequantize=True),
        )
    except (OSError, ValueError, KeyError, IndexError, NotImplementedError) as error:
        raise ValueError(f"{file} cannot be converted: {type(error).__name__}: {error}") from error
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
