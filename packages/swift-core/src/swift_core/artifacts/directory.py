"""The run directory: made before training, completed after it.

plan.json       every value with its origin, every part with its wheel and options
run.yaml        the run file as it was
identity.json   settings that decide what is trained, and the hashes of the plugins' code: what a resume is held against
versions.json   Python, libraries and wheels
plugins/        copies of plugins that are files
metrics.jsonl   one line a log event
adapter/ or model/  what was trained, with tokenizer and chat template
result.json     figures before and after, samples, time, memory
report.html     all of it to look at, in one file
"""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

from swift_core.artifacts.atomic import new_folder, write_text
from swift_core.artifacts.disk import telling_no_room
from swift_core.artifacts.drift import identity
from swift_core.artifacts.manifest import report_sections, result_dict, versions
from swift_core.artifacts.plain import plain
from swift_core.artifacts.report import write_report
from swift_core.artifacts.start import require_free
from swift_core.contracts.plan_json import plan_dict
from swift_core.contracts.procedure import HEAD_FILE
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from pathlib import Path

    from swift_core.contracts.handover import Parts, RunPlan, RunResult


def create(plan: RunPlan, directory: Path, *, resumes: bool = False) -> Path:
    """Make the run directory and write down what will be done in it; return its path.

    Raises:
        SwiftError: the directory is in use and the run does not resume it, or it cannot be made.
    """
    if not resumes:
        require_free(directory, plan)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"The run directory {directory} cannot be made: {error.strerror}."
        place = plan.config.place("output_dir")
        raise SwiftError(Problem("output-dir", message, place, "choose a folder that you may write to")) from error
    with telling_no_room(directory, "The record of the run", f"make room, then {_again(plan, directory)}"):
        _write_json(directory / "plan.json", plan_dict(plan))
        _write_json(directory / "identity.json", identity(plan))
        _write_json(directory / "versions.json", versions(plan))
        shutil.copyfile(plan.config.path, directory / "run.yaml")
        _copy_file_plugins(plan, directory / "plugins")
    return directory


def _again(plan: RunPlan, directory: Path) -> str:
    return f"swift train {plan.config.path} --resume auto output_dir={directory}"


def _is_first_process() -> bool:
    """Say whether this is the process that writes: the only one, or rank 0."""
    import torch.distributed as dist

    return not dist.is_initialized() or dist.get_rank() == 0


def write(result: RunResult) -> Path:
    """Save what was trained with its tokenizer, the result and the report; return the run directory.

    Weights and figures are safe on disk before hooks, which may break, add their sections to the report.
    """
    parts = result.parts
    directory = parts.directory
    if not _is_first_process():
        return directory
    again = f"make room, then {_again(parts.plan, directory)}"
    with new_folder(directory / parts.tuner.artifact) as folder, telling_no_room(folder, "What was trained", again):
        parts.tuner.save_pretrained(parts.model, folder)
        parts.tokenizer.save_pretrained(folder)
        if hasattr(parts.encoder, "save_processor"):
            parts.encoder.save_processor(folder)
        if head := _head(parts):
            _write_json(folder / HEAD_FILE, head)
    content = result_dict(result)
    with telling_no_room(directory, "The result", again):
        _write_json(directory / "result.json", content)
    content["sections"] = report_sections(result)
    with telling_no_room(directory, "The report", f"make room, then swift report {directory}"):
        if content["sections"]:
            _write_json(directory / "result.json", content)
        write_report(directory)
    return directory


def _head(parts: Parts) -> dict[str, Any]:
    """Return what is to be kept of a classification head; nothing of a language model's."""
    name, config = getattr(parts.procedure, "model_head", "causal_lm"), parts.model.config
    if name == "causal_lm":
        return {}
    kept = {key: getattr(config, key) for key in ("num_labels", "id2label", "problem_type")}
    conversations = bool(parts.facts.get("conversations"))
    return {"model_head": name, "rows": parts.procedure.rows, "conversations": conversations, **kept}


def _copy_file_plugins(plan: RunPlan, folder: Path) -> None:
    """Copy plugins that are files; the content's hash in the name keeps two files called `plugin.py` apart."""
    sources = {part.plugin.path for part in (*plan.parts, *plan.formats) if part.plugin.path is not None}
    for source in sorted(sources):
        folder.mkdir(exist_ok=True)
        digest = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
        shutil.copyfile(source, folder / f"{source.stem}-{digest}{source.suffix}")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_text(path, json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
