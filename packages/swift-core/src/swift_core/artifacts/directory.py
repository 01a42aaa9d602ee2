"""The run directory: made before training, completed after it.

plan.json       every value with its origin, every part with its wheel and options
run.yaml        the run file as it was
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
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.artifacts.atomic import new_folder, write_text
from swift_core.artifacts.manifest import report_sections, result_dict, versions
from swift_core.artifacts.plain import plain
from swift_core.artifacts.report import write_report
from swift_core.contracts.plan_json import plan_dict
from swift_core.contracts.procedure import HEAD_FILE
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from swift_core.contracts.handover import Parts, RunPlan, RunResult


def choose(plan: RunPlan, resume: Path | None = None) -> tuple[Path, Path | None]:
    """Return the run directory, and the checkpoint to go on from when `resume` names a run; nothing is written yet.

    Raises:
        SwiftError: the directory is in use, or the run to resume has no whole checkpoint.
    """
    if resume is not None:
        checkpoint = newest_checkpoint(resume)
        return checkpoint.parent, checkpoint
    directory = _chosen_directory(plan)
    _require_free(directory, plan)
    return directory, None


def create(plan: RunPlan, directory: Path, *, resumes: bool = False) -> Path:
    """Make the run directory and write down what will be done in it; return its path.

    Raises:
        SwiftError: the directory is in use and the run does not resume it, or it cannot be made.
    """
    if not resumes:
        _require_free(directory, plan)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"The run directory {directory} cannot be made: {error.strerror}."
        place = plan.config.place("output_dir")
        raise SwiftError(Problem("output-dir", message, place, "choose a folder that you may write to")) from error
    _write_json(directory / "plan.json", plan_dict(plan))
    _write_json(directory / "versions.json", versions(plan))
    shutil.copyfile(plan.config.path, directory / "run.yaml")
    _copy_file_plugins(plan, directory / "plugins")
    return directory


def newest_checkpoint(run: Path) -> Path:
    """Return the last whole checkpoint of the run directory `run`; a checkpoint folder is taken as it is.

    Raises:
        SwiftError: there is none.
    """
    folders = [run] if _is_checkpoint(run) else [path for path in run.glob("checkpoint-*") if _is_checkpoint(path)]
    if not folders:
        what = "holds no whole checkpoint" if run.is_dir() else "is no folder"
        next_step = "give the run directory that swift train printed, or start anew without --resume"
        raise SwiftError(Problem("no-checkpoint", f"{run} {what}, so there is nothing to go on from.", None, next_step))
    return max(folders, key=lambda path: int(path.name.rpartition("-")[2]))


def _is_checkpoint(path: Path) -> bool:
    """Say whether `path` is a checkpoint that was written to its end: the trainer's state comes last."""
    name, _, step = path.name.rpartition("-")
    return name == "checkpoint" and step.isdigit() and (path / "trainer_state.json").is_file()


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
    with new_folder(directory / parts.tuner.artifact) as folder:
        parts.tuner.save_pretrained(parts.model, folder)
        parts.tokenizer.save_pretrained(folder)
        if head := _head(parts):
            _write_json(folder / HEAD_FILE, head)
    content = result_dict(result)
    _write_json(directory / "result.json", content)
    content["sections"] = report_sections(result)
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


def _chosen_directory(plan: RunPlan) -> Path:
    """Return `output_dir`, or a dated folder under `runs/` that does not exist yet."""
    if plan.settings.output_dir != Path():
        return plan.settings.output_dir
    name = f"{plan.config.path.stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    candidates = (Path("runs") / (name if number == 1 else f"{name}-{number}") for number in range(1, 1000))
    return next(candidate for candidate in candidates if not candidate.exists())


def _require_free(directory: Path, plan: RunPlan) -> None:
    if not directory.exists() or (directory.is_dir() and not any(directory.iterdir())):
        return
    what = "is not empty" if directory.is_dir() else "is a file"
    message = f"The run directory {directory} {what}; a run never writes over another."
    ways = ["name another output_dir", "leave output_dir out for a new dated folder under runs/"]
    if any(directory.glob("checkpoint-*")):
        ways.append(f"go on with the run that is there: swift train {plan.config.path} --resume {directory}")
    raise SwiftError(Problem("output-dir", message, plan.config.place("output_dir"), "; or ".join(ways)))


def _copy_file_plugins(plan: RunPlan, folder: Path) -> None:
    """Copy plugins that are files; the content's hash in the name keeps two files called `plugin.py` apart."""
    sources = {part.plugin.path for part in (*plan.parts, *plan.formats) if part.plugin.path is not None}
    for source in sorted(sources):
        folder.mkdir(exist_ok=True)
        digest = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
        shutil.copyfile(source, folder / f"{source.stem}-{digest}{source.suffix}")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_text(path, json.dumps(plain(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
