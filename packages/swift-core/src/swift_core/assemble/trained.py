"""What a finished run trained, loaded again from its directory. Data only: of its code, installed plugins by name."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.assemble.data_only import require_artifact_as_data
from swift_core.assemble.head import read_head
from swift_core.assemble.vision.processor import keep_processor
from swift_core.cache import cache_dir, make_once
from swift_core.config.schema import settings_adapter
from swift_core.contracts.records import interpreting, read_object
from swift_core.errors import Problem, SwiftError
from swift_core.plugins.remote_code import grant_copies, may_run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from swift_core.assemble.model import Loading
    from swift_core.contracts.settings import RunSettings

_KNOWN_FORMAT = 1
_NEXT = "give the directory that swift train printed"


@dataclass(frozen=True, slots=True)
class TrainedRun:
    """A run directory whose training ended."""

    directory: Path
    settings: RunSettings
    """Its sections `model`, `data` and `device`; the others have their defaults."""

    tuner: Any
    base_folder: Path
    """The untrained model."""

    @property
    def artifact(self) -> Path:
        """The folder with what was trained and the tokenizer."""
        return self.directory / str(self.tuner.artifact)


def open_run(directory: Path, remote_code: Mapping[str, str] | None = None) -> TrainedRun:
    """Return the run in `directory`; its base model is fetched when it is not on this machine.

    Args:
        directory: Of the run.
        remote_code: Models whose own code may run -> what pins it; the run's own record of that counts for nothing.

    Raises:
        SwiftError: it is no run directory, training did not end, or a part is no longer installed.
    """
    from swift_core.assemble.model import fetched

    plan = _read_plan(directory)
    with interpreting(directory / "plan.json"):
        settings, base = _settings(plan, directory), _base(plan, directory)
        parts = {part["kind"]: part for part in plan["parts"]}
        tuner, hub = _plugin(parts["tuner"], directory), _plugin(parts["hub"], directory)
        resume = f"swift train {plan['run_file']} --resume {directory}"
    artifact = directory / str(tuner.artifact)
    if not artifact.is_dir():
        raise _no_run(f"{directory} has no folder {tuner.artifact}: its training did not end.", resume)
    try:
        require_artifact_as_data(artifact)
        folder = fetched(hub, settings.model.model_id, settings.model.revision, base, remote_code or {})
    except ValueError as error:
        message = f"The model of {directory}, or the one it was trained from, cannot be had: {error}."
        raise _no_run(message, "bring it back") from error
    grant_copies(artifact, folder)
    return TrainedRun(directory, settings, tuner, folder)


def _read_plan(directory: Path) -> dict[str, Any]:
    file = directory / "plan.json"
    if not file.is_file():
        what = "has no plan.json, so it is no run directory." if directory.is_dir() else "is no folder."
        raise _no_run(f"{directory} {what}", _NEXT)
    plan = read_object(file)
    if plan.get("format") != _KNOWN_FORMAT:
        raise _no_run(f"{file} was written by another version of swift-core.", "pip install --upgrade swift-core")
    return plan


def _no_run(message: str, next_step: str) -> SwiftError:
    return SwiftError(Problem("no-run", message, None, next_step))


def _settings(plan: Mapping[str, Any], directory: Path) -> RunSettings:
    def values(section: str) -> dict[str, Any]:
        return {key: valued["value"] for key, valued in plan["settings"][section].items()}

    try:
        sections = {section: values(section) for section in ("model", "data", "device")}
        return settings_adapter().validate_json(json.dumps(sections))
    except (KeyError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        message = f"{directory / 'plan.json'} was written by another version of swift-core: {reason}."
        raise _no_run(message, "pip install --upgrade swift-core") from error


def _base(plan: Mapping[str, Any], directory: Path) -> Path:
    """Return the folder that relative model paths start from: the run file's, or where both were moved to."""
    run_file = Path(plan["run_file"])
    return run_file.parent if run_file.is_file() else directory.parent


def _plugin(part: Mapping[str, Any], directory: Path) -> Any:
    """Return a part of the run, built from the installed plugin of the same name and wheel."""
    from swift_core.plugins.options import build
    from swift_core.plugins.registry import installed

    if part["origin"] not in ("wheel", "editable"):
        message = f"{directory} was trained with the {part['kind']} {part['target']}, which is no installed plugin."
        raise _no_run(message, "install it as a wheel, and train again with its name")
    registry = installed()
    options = {
        name: option["value"] for name, option in part["options"].items() if option["origin"] != "plugin default"
    }
    return build(registry.load(registry.resolve(part["kind"], f"{part['wheel']}:{part['name']}", directory)), options)


def load_base(run: TrainedRun) -> PreTrainedModel:
    """Return the untrained model of `run` on its device; set torch's threads."""
    from swift_core.assemble.model import compute_device, load_weights, loading_for, placed, set_threads

    set_threads(run.settings.device, run.base_folder)
    loading = loading_for(run.settings, run.tuner, run.base_folder)
    model = load_weights(run.base_folder, _with_head(run, loading))
    return placed(model, compute_device(run.settings.device))


def _with_head(run: TrainedRun, loading: Loading) -> Loading:
    """Return `loading` with the head that the run trained."""
    head = read_head(run.artifact)
    return replace(loading, head=head.name, head_config=head.config)


def load_run_tokenizer(run: TrainedRun) -> PreTrainedTokenizerBase:
    """Return the tokenizer that was saved with what was trained, with the chat template of the run."""
    from swift_core.assemble.model import load_tokenizer

    return load_tokenizer(run.artifact)


def write_whole(directory: Path, folder: Path) -> None:
    """Write the model of a run, whole and in transformers' layout, into the empty `folder`.

    Raises:
        SwiftError: There is no such run.
        ValueError: Its tuner cannot be merged.
    """
    run = open_run(directory)
    if (run.artifact / "config.json").is_file():
        shutil.copytree(run.artifact, folder, dirs_exist_ok=True)
    else:
        _merge(run, folder)


def merged(directory: Path) -> Path:
    """Return a folder in the cache with the run's adapter merged into its base model.

    Raises:
        ValueError: there is no such run, or its tuner cannot be merged.
    """
    try:
        run = open_run(directory)
    except SwiftError as error:
        raise ValueError(" ".join(problem.message.rstrip(".") for problem in error.problems)) from error
    digest = hashlib.sha256(str(run.base_folder.resolve()).encode())
    for file in sorted(run.artifact.iterdir()):
        if file.is_file():
            digest.update(file.name.encode() + file.read_bytes())
    folder = cache_dir() / "merged" / f"{directory.resolve().name}-{digest.hexdigest()[:16]}"
    return make_once(folder, lambda unfinished: _merge(run, unfinished))


def _merge(run: TrainedRun, folder: Path) -> None:
    """Save base plus adapter, added in float32 and stored in the base's own type."""
    from swift_core.assemble.model import Loading, load_weights

    base = load_weights(run.base_folder, _with_head(run, Loading()))
    stored: Any = _stored_dtype(run.base_folder)
    whole: Any = run.tuner.from_pretrained(base, run.artifact)
    if not hasattr(whole, "merge_and_unload"):
        raise ValueError(f"what {type(run.tuner).__name__} trained cannot be merged into its base model")
    whole.merge_and_unload().to(stored).save_pretrained(folder)
    load_run_tokenizer(run).save_pretrained(folder)
    keep_processor(run.artifact, folder)


def _stored_dtype(folder: Path) -> Any:
    import torch
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder, trust_remote_code=may_run(folder)).dtype or torch.float32
