"""The model of a finished run of stage `rm` or `prm` as what scores answers: `contracts.models.TrainedJudge`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.assemble.head import KeptHead, read_head
from swift_core.assemble.trained import TrainedRun, load_base, load_run_tokenizer, open_run
from swift_core.errors import SwiftError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from swift_core.contracts.data import Message, TextEncoder
    from swift_core.contracts.reward import InferRequest

_ROWS = {"rm": "scores", "prm": "steps"}
"""Stage -> what a row of its data was."""


def open_judge(directory: str, base: Path, stage: str) -> RunJudge:
    """Return the judge in a run directory; raise ValueError when the run is none of the stage."""
    folder = base / os.path.expanduser(directory)
    try:
        run = open_run(folder)
        head = read_head(run.artifact)
    except SwiftError as error:
        raise ValueError(" ".join(problem.message.rstrip(".") for problem in error.problems)) from error
    if head.rows != _ROWS[stage]:
        raise ValueError(f"{folder} is no run of stage {stage}")
    return RunJudge(run, head)


@dataclass(slots=True)
class RunJudge:
    """Loads its model when it first judges; `batch_size` texts are computed together."""

    run: TrainedRun
    head: KeptHead
    batch_size: int = 8
    _loaded: tuple[Any, TextEncoder] | None = field(default=None, init=False, repr=False)

    def scores(self, infer_requests: Sequence[InferRequest], /) -> list[float]:
        """Return the score of each answer."""
        from swift_core.assemble.kinds.heads import read_whole

        _, encoder = self._live()
        texts = [self._parts(row, request) for row, request in enumerate(infer_requests)]
        ids = [read_whole(encoder, prompt, answer, end=True) for prompt, answer in texts]
        return [float(logits[-1, 0]) for logits in self._logits(ids)]

    def steps(
        self, infer_requests: Sequence[InferRequest], steps: Sequence[Sequence[str]] | None = None, /
    ) -> list[list[float]]:
        """Return how probable it is that each step is right; an answer without steps has none."""
        from swift_core.assemble.kinds.steps import RIGHT, encode_steps

        _, encoder = self._live()
        separator, right = self.run.settings.data.step_separator, self.head.labels.index(RIGHT)
        given = [self._split(request.response) for request in infer_requests] if steps is None else steps
        encoded = [
            encode_steps(encoder, self._parts(row, request)[0], own, separator)
            for row, (request, own) in enumerate(zip(infer_requests, given, strict=True))
        ]
        judged = [index for index, (_, ends) in enumerate(encoded) if ends]
        found: list[list[float]] = [[] for _ in encoded]
        for index, logits in zip(judged, self._logits([encoded[index][0] for index in judged]), strict=True):
            found[index] = logits.softmax(-1)[encoded[index][1], right].tolist()
        return found

    def _split(self, answer: str) -> list[str]:
        separator = self.run.settings.data.step_separator
        return [step for step in answer.split(separator) if step.strip()] if separator else [answer]

    def _live(self) -> tuple[Any, TextEncoder]:
        from swift_core.assemble.encoder import HfEncoder

        if self._loaded is None:
            encoder = HfEncoder(load_run_tokenizer(self.run), self.run.settings.model.chat_template_kwargs)
            model = self.run.tuner.from_pretrained(load_base(self.run), self.run.artifact)
            model.eval()
            model.requires_grad_(False)
            self._loaded = model, encoder
        return self._loaded

    def _parts(self, row: int, request: InferRequest) -> tuple[Any, Any]:
        """Return prompt and answer as the rows of the run were: turns, or plain text."""
        turns = prompt_of(request)
        if not self.head.conversations:
            if len(turns) > 1:
                message = f"row {row} is a conversation, and {self.run.directory} was trained on plain text"
                raise ValueError(message)
            return "".join(turn["content"] for turn in turns), request.response
        system = self.run.settings.data.system
        first: list[Message] = [{"role": "system", "content": system}] if system else []
        has_system = bool(turns) and turns[0]["role"] in ("system", "developer")
        answer: list[Message] = [{"role": "assistant", "content": request.response}]
        return [*([] if has_system else first), *turns], answer

    def _logits(self, rows: Sequence[list[int]]) -> list[Tensor]:
        """Return the head's logits at every token of each text, [time, label]; texts of like length go together."""
        import torch

        from swift_core.assemble.kinds.heads import padded_ids
        from swift_core.assemble.scoring import ScoreHead

        model, encoder = self._live()
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        found: dict[int, Tensor] = {}
        for first in range(0, len(order), self.batch_size):
            chosen = order[first : first + self.batch_size]
            batch = padded_ids([rows[index] for index in chosen], encoder.pad_token_id)
            with torch.no_grad():
                logits = ScoreHead(model).logits(model, {name: ids.to(model.device) for name, ids in batch.items()})
            found |= {index: logits[place, : len(rows[index])].cpu() for place, index in enumerate(chosen)}
        return [found[index] for index in range(len(rows))]


def prompt_of(request: InferRequest) -> list[Any]:
    """Return the turns before the answer."""
    turns = [dict(turn) for turn in request.messages]
    return turns[:-1] if turns and turns[-1].get("role") == "assistant" else turns
