"""What is logged of rollouts: figures for the log line, and answers in `completions.jsonl`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import TrainerCallback

from swift_core.artifacts.completions import FILE, forget_after

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from swift_core.train.policy.rollouts import Rollouts
    from swift_core.train.policy.samples import Sample


class ForgetLater(TrainerCallback):
    """Drops the answers of steps that a resumed run takes again."""

    def __init__(self, directory: Path) -> None:
        """Take the run directory."""
        self._directory = directory

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Drop what was drawn after the checkpoint."""
        if state.is_world_process_zero:
            forget_after(self._directory, state.global_step)


def figures(groups: Sequence[Sequence[Sample]], rollouts: Rollouts) -> dict[str, Tensor]:
    """Return values per answer or group, which are logged as their means: rewards by name, lengths, cut answers."""
    samples = [sample for group in groups for sample in group]
    values = reward_figures(samples, rollouts.weights)
    values["completion_length"] = [float(sample.num_tokens) for sample in samples]
    values["finished_length"] = [float(sample.num_tokens) for sample in samples if sample.rollout.finished]
    if any(sample.rollout.messages for sample in samples):
        values["turns"] = [float(sample.num_turns) for sample in samples]
    values["truncated"] = [float(not sample.rollout.finished) for sample in samples]
    values["flat_groups"] = [float(rollouts.is_flat(group)) for group in groups]
    values["reward_std"] = [_deviation([sample.total(rollouts.weights) for sample in group]) for group in groups]
    values |= {f"weight/{name}": [rollouts.weights[name]] for name in rollouts.scheduled}
    return {name: torch.tensor(numbers) for name, numbers in values.items() if numbers}


def reward_figures(samples: Sequence[Sample], weights: Mapping[str, float]) -> dict[str, list[float]]:
    """Return the rewards of answers in all and by name, those without one left out, and where one was missing.

    Of the answers that a reward was asked about, `abstained/NAME` is 1 where it abstained, `failed/NAME` where it
    failed.
    """
    totals = [sample.total(weights) for sample in samples]
    values: dict[str, list[float]] = {"reward": [total for total in totals if total == total]}
    for name in weights:
        asked = [sample for sample in samples if sample.unsaid.get(name) != "unasked"]
        values[f"reward/{name}"] = [v for sample in asked if (v := sample.rewards[name]) is not None]
        values[f"abstained/{name}"] = [float(s.rewards[name] is None and name not in s.unsaid) for s in asked]
        values[f"failed/{name}"] = [float(name in sample.unsaid) for sample in asked]
    return values


def without_silence(means: Mapping[str, float]) -> dict[str, float]:
    """Return means without `abstained/NAME` and `failed/NAME` of rewards that did neither, on any process."""
    return {name: mean for name, mean in means.items() if mean or not name.startswith(("abstained/", "failed/"))}


def _deviation(totals: Sequence[float]) -> float:
    known = torch.tensor([total for total in totals if total == total])
    return float(known.std()) if len(known) > 1 else 0.0


def write(directory: Path, step: int, groups: Sequence[Sequence[Sample]], weights: Mapping[str, float]) -> None:
    """Append the answers of `groups` to the table of completions."""
    with (directory / FILE).open("a", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
        for group in groups:
            for sample in group:
                total = sample.total(weights)
                line = {
                    "step": step,
                    "row": sample.prompt["row"],
                    "prompt": sample.prompt["prompt"],
                    "completion": sample.text,
                    **({"turns": list(sample.rollout.messages)} if sample.rollout.messages else {}),
                    "finished": sample.rollout.finished,
                    "rewards": sample.rewards,
                    **({"steps": sample.steps} if sample.steps else {}),
                    "reward": total if total == total else None,
                    **({"unsaid": sample.unsaid} if sample.unsaid else {}),
                    **({"pair": sample.side} if sample.side else {"advantage": sample.advantage}),
                }
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
