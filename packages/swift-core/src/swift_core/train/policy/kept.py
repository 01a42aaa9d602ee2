"""What a checkpoint keeps of answers: those that more steps will be taken on, and how often rewards failed so far."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from swift_core.train.policy.agreement import counted, go_on_from

if TYPE_CHECKING:
    from swift_core.train.policy.sampled import SampledAnswers


class KeepAnswers(TrainerCallback):
    """Writes the batches of the present window beside a checkpoint, a file for each process, and reads them back."""

    def __init__(self, trainer: SampledAnswers, iterations: int) -> None:
        """Take the procedure and the number of steps of a window."""
        self._trainer, self._iterations = trainer, iterations

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Go on with the window of the checkpoint."""
        resume = self._trainer.parts.resume_from
        if resume is None or state.global_step % self._iterations == 0:
            return
        batches: dict[int, Any] = {}
        for key, value in load_file(Path(resume) / self._name(args)).items():
            index, name = key.split(".", 1)
            batches.setdefault(int(index), {}).update({name: value.to(args.device)})
        self._trainer.kept = [batches[index] for index in sorted(batches)]

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write the window, when it is not over."""
        if state.global_step % self._iterations:
            named = {
                f"{index}.{name}": value.cpu().contiguous()
                for index, batch in enumerate(self._trainer.kept)
                for name, value in batch.items()
            }
            save_file(named, Path(args.output_dir) / f"checkpoint-{state.global_step}" / self._name(args))

    @staticmethod
    def _name(args: Any) -> str:
        return f"answers-{args.process_index}.safetensors"


class KeepFailures(TrainerCallback):
    """Writes into a checkpoint how often each reward failed, over all processes, and goes on counting from there."""

    FILE = "reward_failures.json"

    def __init__(self, trainer: SampledAnswers) -> None:
        """Take the procedure."""
        self._trainer = trainer

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Give the first process the counts of the checkpoint, and the others none: their sum is what counts."""
        resume, rewards = self._trainer.parts.resume_from, self._trainer.parts.rewards
        if resume is not None and (path := Path(resume) / self.FILE).exists():
            first = args.process_index == 0
            go_on_from(rewards, json.loads(path.read_text(encoding="utf-8")) if first else {})

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write the counts; every process takes part in the sum."""
        counts = counted(self._trainer.parts.rewards, self._trainer.reduce_cpu)
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            (folder / self.FILE).write_text(json.dumps(counts), encoding="utf-8")
