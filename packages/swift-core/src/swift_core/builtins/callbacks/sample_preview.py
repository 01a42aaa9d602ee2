"""Sample preview: the model's answers to a few prompts while it trains, with what the run's rewards say of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from swift_core.assemble.generate import generate
from swift_core.assemble.reward_checks import check_rewards
from swift_core.builtins.callbacks._say import say
from swift_core.errors import Problem, SwiftError
from swift_core.train.evaluate import Answers
from swift_core.train.statistics import kept_random_numbers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.contracts.data import Record

FILE = "samples.jsonl"


class SamplePreview(TrainerCallback):
    """Answer some held-out prompts every few steps, and show the answers.

    Answers are the likeliest, so that they change with the model alone. They are printed, and kept in `samples.jsonl`
    of the run directory with the scores of `reward.orms`.

    Args:
        every: Optimizer steps between two looks, >= 1; the last step is looked at, too.
        rows: Held-out prompts, the first of them, >= 1; ignored where `prompts` are given.
        prompts: Prompts of your own, as what a user says; their answers are not scored.
        max_new_tokens: Longest answer in tokens, >= 1.
    """

    def __init__(
        self, *, every: int = 100, rows: int = 3, prompts: Sequence[str] = (), max_new_tokens: int = 64
    ) -> None:
        for name, value in (("every", every), ("rows", rows), ("max_new_tokens", max_new_tokens)):
            if value < 1:
                raise ValueError(f"{name} must be >= 1, got {value}")
        self._every, self._rows, self._max_new_tokens = every, rows, max_new_tokens
        self._prompts = tuple(prompts)
        self._trainer: Any = None
        self._records: list[Record] = []

    def attach(self, trainer: Any) -> None:
        """Take the trainer and choose the prompts.

        Raises:
            SwiftError: The model generates nothing, or there is no prompt.
        """
        self._trainer, parts = trainer, trainer.parts
        place = parts.plan.config.place("train.callbacks")
        if trainer.model_head != "causal_lm":
            stage = parts.plan.procedure.plugin.name
            message = f"callback sample_preview needs answers, and the model of stage {stage!r} generates none."
            raise SwiftError(Problem("wrong-placement", message, place, "remove it from train.callbacks"))
        self._records = _asked(self._prompts) or [r for r in parts.eval_records if r.prompt is not None][: self._rows]
        if not self._records:
            message = "callback sample_preview has no prompt: there is no held-out row with one, and no option prompts."
            raise SwiftError(Problem("no-prompts", message, place, "give data.val_dataset, or the option prompts"))
        if not self._prompts:
            check_rewards(parts.plan, parts.rewards, self._records)

    def on_step_end(self, args: Any, state: Any, control: Any, **event: Any) -> None:
        """Look every so many steps, and at the last."""
        if state.global_step % self._every == 0 or state.global_step == state.max_steps:
            self._look(args, state)

    def _look(self, args: Any, state: Any) -> None:
        """Answer, score, print and keep."""
        parts = self._trainer.parts
        if not (state.is_world_process_zero or parts.plan.parallel.shards_weights):
            return
        prompts = [record.prompt for record in self._records if record.prompt is not None]
        with kept_random_numbers(args.device):
            images = [record.media for record in self._records if record.prompt is not None]
            texts = generate(parts.model, parts.encoder, prompts, max_new_tokens=self._max_new_tokens, images=images)
            answers = Answers(self._records, texts)
            scores = {} if self._prompts else _scores(parts, answers)
        if not state.is_world_process_zero:
            return
        lines = _lines(state.global_step, answers, scores)
        with Path(parts.directory, FILE).open("a", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
        for line in lines:
            say(state, _shown(line))


def _asked(prompts: Sequence[str]) -> list[Record]:
    from swift_core.contracts.data import Record

    return [Record(where="callback sample_preview", prompt=[{"role": "user", "content": text}]) for text in prompts]


def _scores(parts: Any, answers: Answers) -> dict[str, Sequence[float | None]]:
    """Return what each outcome reward says of each answer."""
    told = answers.generations(parts)
    return {
        reward.name: list(reward.score(told.infer_requests, told.ground_truths, **told.columns))
        for reward in parts.rewards
        if reward.kind == "orm"
    }


def _lines(step: int, answers: Answers, scores: dict[str, Sequence[float | None]]) -> list[dict[str, Any]]:
    rows = zip(answers.records, answers.expected(), answers.responses, strict=True)
    return [
        {
            "step": step,
            "prompt": _text(record.prompt),
            "expected": record.ground_truth if expected is None else expected,
            "answer": text,
            "rewards": {name: values[index] for name, values in scores.items()},
        }
        for index, (record, expected, text) in enumerate(rows)
    ]


def _shown(line: dict[str, Any]) -> str:
    rewards = "".join(f"  {name} {value:.3g}" for name, value in line["rewards"].items() if value is not None)
    return f"sample_preview, step {line['step']}{rewards}\n  {line['prompt']}\n  -> {line['answer']}"


def _text(prompt: Any) -> str:
    return prompt if isinstance(prompt, str) else "\n".join(str(turn.get("content", "")) for turn in prompt)
