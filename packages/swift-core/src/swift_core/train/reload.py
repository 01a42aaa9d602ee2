"""Taking changed local files anew while a run trains (`plugins.reload`).

The first process watches the files. A changed one is vetted in a process of its own while training goes on. At the end
of a step all processes make its parts anew from the same bytes, and put them in if all of them could, else none. A
loss or gradient that is not finite within the next steps takes the change back.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch.distributed as dist
from transformers import TrainerCallback

from swift_core.artifacts.atomic import write_text
from swift_core.ms_swift.arguments import part_arguments
from swift_core.resolve.reload import reloadable
from swift_core.train.swaps import prepared_swap

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transformers import TrainerControl, TrainerState, TrainingArguments

    from swift_core.contracts.handover import PartPlan
    from swift_core.train.trainer import SwiftTrainer

GUARD_STEPS = 20
"""Steps after a change in which a loss that is not finite takes it back."""

VETTING_SECONDS = 120.0
"""A file that takes longer to import and build is not taken."""

RELOADS_FILE = "reloads.jsonl"
"""In the run directory: a line for each change, what became of it and why."""

_TOLD = ("kind", "name", "target", "distribution", "version", "origin", "dialect")


class Reload(TrainerCallback):
    """Watches the files of a run and takes them anew."""

    def __init__(self, trainer: SwiftTrainer) -> None:
        """Take the trainer, whose parts are replaced."""
        self._trainer = trainer
        self._parts = list(reloadable(trainer.parts.plan))
        files = {part.plugin.path for part in self._parts if part.plugin.path is not None}
        self._seen = {path: _digest(path) for path in sorted(files)}
        """File -> hash of what was taken or refused last."""
        self._vetting: tuple[subprocess.Popen[str], dict[str, Any], float] | None = None
        self._taken: tuple[int, dict[str, Any], list[Callable[[], None]], dict[str, Any]] | None = None
        """The last change: its step, the offer, what takes it back, and the lock before."""
        trainer.nonfinite.rescue = self._take_back

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Take a file that was vetted; look for a changed one."""
        shared = [self._offer(state.global_step) if args.process_index == 0 else None]
        if args.world_size > 1:
            dist.broadcast_object_list(shared)
        if shared[0] is not None:
            self._take(shared[0], state.global_step)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """End a vetting that nobody waits for any more."""
        self._stop_vetting()

    def _offer(self, step: int) -> dict[str, Any] | None:
        """Return a change that was vetted and is as it was then; begin to vet the next one."""
        if self._vetting is None:
            self._look()
            return None
        process, offer, begun = self._vetting
        if process.poll() is None:
            if time.monotonic() - begun < VETTING_SECONDS:
                return None
            self._stop_vetting()
            self._tell(step, offer, "refused", f"importing and building it took over {VETTING_SECONDS:g} seconds")
            return None
        self._vetting = None
        output = process.communicate()[0]
        wrong = json.loads(output) if output else f"importing it ended the process with code {process.returncode}"
        if wrong:
            self._tell(step, offer, "refused", wrong)
            return None
        return offer

    def _look(self) -> None:
        """Begin to vet the first file that has changed."""
        for path, known in self._seen.items():
            digest = _digest(path)
            if digest and digest != known:
                self._seen[path] = digest
                self._vet(path, digest)
                return

    def _vet(self, path: Path, digest: str) -> None:
        plan = self._trainer.parts.plan
        told = [
            {
                "kind": part.kind,
                "plugin": {name: getattr(part.plugin, name) for name in _TOLD} | {"path": str(path)},
                "options": dict(part.options),
                "args": part_arguments(plan, part),
            }
            for part in self._of(path)
        ]
        command = [sys.executable, "-m", "swift_core.train.vet"]
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nothing, text=True)
        assert process.stdin is not None
        process.stdin.write(json.dumps({"parts": told, "folder": str(plan.config.path.parent)}))
        process.stdin.close()
        process.stdin = None
        self._vetting = process, {"file": str(path), "digest": digest}, time.monotonic()

    def _of(self, path: Path) -> list[PartPlan]:
        return [part for part in self._parts if part.plugin.path == path]

    def _take(self, offer: dict[str, Any], step: int) -> None:
        """Make the parts of a file anew on every process, and put them in everywhere or nowhere."""
        swaps, wrong = self._prepared(offer)
        everyone = [wrong] * self._trainer.args.world_size
        if self._trainer.args.world_size > 1:
            dist.all_gather_object(everyone, wrong)
        if failed := [f"process {rank}: {text}" for rank, text in enumerate(everyone) if text]:
            self._tell(step, offer, "refused", "; ".join(failed))
            return
        lock = dict(self._trainer.saving.about)
        undo = [swap() for swap in swaps]
        self._taken = step, offer, undo, lock
        self._lock(offer)
        self._tell(step, offer, "taken", f"from step {step + 1} on")

    def _prepared(self, offer: dict[str, Any]) -> tuple[list[Any], str]:
        """Return what puts the parts in, or why they cannot be made here."""
        path = next(path for path in self._seen if str(path) == offer["file"])
        try:
            if _digest(path) != offer["digest"]:
                return [], "the file has changed again, or is another one here"
            made = [prepared_swap(self._trainer, part, _anew(part, offer["digest"])) for part in self._of(path)]
        except Exception as error:  # whatever a stranger's code raises is why it is not taken
            return [], " ".join(f"{type(error).__name__}: {error}".split())
        self._seen[path] = offer["digest"]
        return made, ""

    def _lock(self, offer: dict[str, Any]) -> None:
        """Write the new bytes into what checkpoints keep of the run, and into the run directory."""
        about = dict(self._trainer.saving.about)
        plugins = dict(about["plugins"])
        path = next(path for path in self._seen if str(path) == offer["file"])
        for part in self._of(path):
            anew = _anew(part, offer["digest"]).plugin
            plugins[part.key] = [anew.name, anew.distribution, anew.version, offer["digest"]]
        self._write_lock({**about, "plugins": plugins})
        if self._trainer.args.process_index == 0:
            folder = self._trainer.parts.directory / "plugins"
            folder.mkdir(exist_ok=True)
            shutil.copyfile(path, folder / f"{path.stem}-{offer['digest'][:12]}{path.suffix}")

    def _write_lock(self, about: dict[str, Any]) -> None:
        self._trainer.saving.about = about
        if self._trainer.args.process_index == 0:
            text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
            write_text(self._trainer.parts.directory / "identity.json", text)

    def _take_back(self, what: str) -> bool:
        """Put the old parts back after a change that may be the cause; say whether there was one."""
        if self._taken is None or self._trainer.state.global_step >= self._taken[0] + GUARD_STEPS:
            return False
        _, offer, undo, lock = self._taken
        self._taken = None
        for each in undo:
            each()
        self._write_lock(lock)
        self._tell(self._trainer.state.global_step, offer, "taken back", f"{what}; the step is left out")
        return True

    def _tell(self, step: int, offer: dict[str, Any], outcome: str, why: str) -> None:
        if self._trainer.args.process_index != 0:
            return
        line = {"step": step, "file": offer["file"], "sha256": offer["digest"], "outcome": outcome, "why": why}
        with (self._trainer.parts.directory / RELOADS_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        kept = "" if outcome == "taken" else "; what ran before goes on"
        print(f"reload: {offer['file']} {outcome} after step {step}: {why}{kept}", file=sys.stderr)

    def _stop_vetting(self) -> None:
        if self._vetting is not None:
            self._vetting[0].kill()
            self._vetting[0].communicate()
            self._vetting = None


def _anew(part: PartPlan, digest: str) -> PartPlan:
    plugin = part.plugin
    return replace(part, plugin=plugin if plugin.dialect else replace(plugin, version=digest[:12]))


def _digest(path: Path) -> str:
    """Return the hash of a file; empty while an editor is replacing it."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
