"""Models of the Hugging Face hub, kept in its own cache. Only safetensors weights are fetched: pickles run code."""

from __future__ import annotations

import re
from pathlib import Path

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]


class HuggingFace:
    """`owner/name` on huggingface.co or on the server of `HF_ENDPOINT`; `HF_HUB_OFFLINE=1` stays off the net."""

    def claims(self, model_id: str, base: Path) -> bool:
        """Say whether `model_id` is written like a repository and is no folder here."""
        return (
            bool(_REPOSITORY.fullmatch(model_id)) and not model_id.endswith(".gguf") and not (base / model_id).is_dir()
        )

    def peek(self, model_id: str, revision: str, base: Path) -> Path | None:
        """Return the snapshot in the hub's cache when its weights are there."""
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

        try:
            folder = Path(snapshot_download(model_id, revision=revision, local_files_only=True, allow_patterns=_FILES))
        except (LocalEntryNotFoundError, HFValidationError):
            return None
        return folder if _is_complete(folder) else None

    def fetch(self, model_id: str, revision: str, base: Path) -> Path:
        """Return the snapshot, downloading what is missing; raise ValueError with what stands in the way."""
        from huggingface_hub import constants, snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

        if constants.HF_HUB_OFFLINE:
            if found := self.peek(model_id, revision, base):
                return found
            raise ValueError(
                f"{model_id} ({revision}) is not in the hub cache and HF_HUB_OFFLINE forbids downloading it"
            )
        try:
            folder = Path(snapshot_download(model_id, revision=revision, allow_patterns=_FILES))
        except (LocalEntryNotFoundError, HFValidationError, HfHubHTTPError, OSError) as error:
            cause = str(error).strip().splitlines()
            raise ValueError(
                f"{model_id} cannot be downloaded: {cause[0] if cause else type(error).__name__}"
            ) from error
        if not _is_complete(folder):
            raise ValueError(f"{model_id} ({revision}) has no config.json with safetensors weights")
        return folder

    def fetch_code(self, model_id: str, commit: str) -> None:
        """Bring the Python files of a commit into its snapshot; ValueError with what stands in the way."""
        from huggingface_hub import constants, snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

        offline = constants.HF_HUB_OFFLINE
        try:
            snapshot_download(model_id, revision=commit, allow_patterns=["*.py"], local_files_only=offline)
        except (LocalEntryNotFoundError, HFValidationError, HfHubHTTPError, OSError) as error:
            raise ValueError(f"the code of {model_id} at {commit} cannot be downloaded: {error}") from error


def _is_complete(folder: Path) -> bool:
    return (folder / "config.json").is_file() and any(folder.glob("*.safetensors"))
