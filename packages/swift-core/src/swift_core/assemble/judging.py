"""What a finished run's classification head says of texts: classes, a number, a score, or how right each step is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from swift_core.assemble.head import KeptHead
    from swift_core.assemble.trained import TrainedRun
    from swift_core.contracts.data import Message, TextEncoder


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the head says of one text."""

    prompt: str
    labels: dict[str, float] = field(default_factory=dict)
    """Probability of each class, the likeliest first."""

    value: float | None = None
    """The score of an answer, or the number of a text."""

    steps: list[tuple[str, float]] = field(default_factory=list)
    """Each step with the probability that it is right."""


def judge(
    run: TrainedRun,
    head: KeptHead,
    prompts: Sequence[str],
    answers: Sequence[str] = (),
    *,
    system: str | None = None,
    raw: bool = False,
) -> list[Verdict]:
    """Return what the model of `run` says of each prompt, with its answer where one belongs to it.

    Args:
        run: A finished run.
        head: What it kept of its head.
        prompts: Texts, or what the user says.
        answers: One for each prompt; of a process reward model, its steps with the run's separator between them.
        system: System message; None takes `data.system` of the run.
        raw: Leave the chat template out although the run was trained with it.

    Raises:
        SwiftError: Answers are missing or too many, or the model cannot be loaded.
    """
    from swift_core.assemble.encoder import HfEncoder
    from swift_core.assemble.spans import RowMistake
    from swift_core.assemble.trained import load_base, load_run_tokenizer

    if head.name == "dual_encoder":
        message = "the run trained an encoder of images beside one of texts, which answers nothing."
        step = f"load {run.artifact} with transformers.AutoModel, and see get_image_features and get_text_features"
        raise SwiftError(Problem("model-answers-nothing", message, None, step))
    _require_answers(head, prompts, answers)
    try:
        encoder = HfEncoder(load_run_tokenizer(run), run.settings.model.chat_template_kwargs)
        model = run.tuner.from_pretrained(load_base(run), run.artifact)
    except ValueError as error:
        raise SwiftError(Problem("model-unavailable", f"{error}.", None, "train the run again")) from error
    reader = Reader(encoder, run.settings.data.step_separator, _system(run, system), head.conversations and not raw)
    model.eval()
    read: dict[str, Callable[..., Verdict]] = {"classes": _classes, "scores": _score, "steps": _steps}
    given = answers or [""] * len(prompts)
    try:
        return [read[head.rows](model, head, reader, *both) for both in zip(prompts, given, strict=True)]
    except RowMistake as mistake:
        raise SwiftError(Problem(mistake.code, str(mistake), None, mistake.next_step)) from mistake


def _require_answers(head: KeptHead, prompts: Sequence[str], answers: Sequence[str]) -> None:
    if answers and len(answers) != len(prompts):
        message = f"{len(prompts)} prompts and {len(answers)} answers: each prompt needs one."
        raise SwiftError(Problem("answers", message, None, "give --prompt and --answer in turn"))
    if not answers and head.rows != "classes":
        what = "score is that of an answer" if head.rows == "scores" else "labels are those of an answer's steps"
        raise SwiftError(Problem("answers", f"The model's {what}.", None, "give --answer after each --prompt"))


def _system(run: TrainedRun, system: str | None) -> str:
    return run.settings.data.system if system is None else system


@dataclass(frozen=True, slots=True)
class Reader:
    """How texts become tokens: as the rows of the run did."""

    encoder: TextEncoder
    separator: str
    system: str
    conversations: bool

    def asked(self, prompt: str) -> str | list[Message]:
        """Return the prompt as plain text or as turns."""
        if not self.conversations:
            return prompt
        head: list[Message] = [{"role": "system", "content": self.system}] if self.system else []
        return [*head, {"role": "user", "content": prompt}]

    def answered(self, answer: str) -> str | list[Message] | None:
        """Return the answer alike; None when it is empty."""
        if not answer:
            return None
        return [{"role": "assistant", "content": answer}] if self.conversations else answer


def _logits(model: Any, ids: list[int]) -> Tensor:
    """Return the head's logits at every token of one text, [time, label]."""
    import torch

    from swift_core.assemble.kinds.heads import padded_ids
    from swift_core.assemble.scoring import ScoreHead

    batch = {name: value.to(model.device) for name, value in padded_ids([ids], 0).items()}
    with torch.no_grad():
        return ScoreHead(model).logits(model, batch)[0]


def _classes(model: Any, head: KeptHead, reader: Reader, prompt: str, answer: str) -> Verdict:
    from swift_core.assemble.kinds.heads import read_whole

    logits = _logits(model, read_whole(reader.encoder, reader.asked(prompt), reader.answered(answer)))[-1]
    problem_type = head.config.get("problem_type")
    if problem_type == "regression":
        return Verdict(prompt, value=float(logits[0]))
    shares = logits.sigmoid() if problem_type == "multi_label_classification" else logits.softmax(-1)
    ordered = sorted(zip(head.labels, shares.tolist(), strict=True), key=lambda pair: -pair[1])
    return Verdict(prompt, labels=dict(ordered))


def _score(model: Any, head: KeptHead, reader: Reader, prompt: str, answer: str) -> Verdict:
    from swift_core.assemble.kinds.heads import read_whole

    ids = read_whole(reader.encoder, reader.asked(prompt), reader.answered(answer), end=True)
    return Verdict(prompt, value=float(_logits(model, ids)[-1, 0]))


def _steps(model: Any, head: KeptHead, reader: Reader, prompt: str, answer: str) -> Verdict:
    from swift_core.assemble.kinds.steps import RIGHT, encode_steps

    steps = [step for step in answer.split(reader.separator) if step.strip()] if reader.separator else [answer]
    ids, ends = encode_steps(reader.encoder, reader.asked(prompt), steps, reader.separator)
    right = _logits(model, ids).softmax(-1)[ends, head.labels.index(RIGHT)].tolist()
    return Verdict(prompt, steps=list(zip(steps, right, strict=True)))
