"""Model folders are data: weights are read from safetensors, and a folder that has them as pickles alone is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
_ADAPTER_CONFIG = "adapter_config.json"


def require_weights_as_data(folder: Path) -> None:
    """Raise ValueError for a model folder that transformers would unpickle, or take another model for."""
    if (folder / _ADAPTER_CONFIG).is_file():
        raise ValueError(f"{folder} holds {_ADAPTER_CONFIG}, which would put another model in its place")
    _require_safetensors(folder, any(folder.glob("*.safetensors")))


def require_artifact_as_data(folder: Path) -> None:
    """Raise ValueError for what a run trained when it is no safetensors: an adapter, or a whole model."""
    if (folder / _ADAPTER_CONFIG).is_file():
        _require_safetensors(folder, (folder / "adapter_model.safetensors").is_file())
    elif (folder / "config.json").is_file():
        require_weights_as_data(folder)


def _require_safetensors(folder: Path, has_them: bool) -> None:
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLED)
    if not has_them and pickled:
        raise ValueError(
            f"the weights in {folder} are pickles ({pickled[0]}), which can run code when they are read; "
            "only safetensors are"
        )
