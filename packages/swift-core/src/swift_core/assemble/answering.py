"""Answers of a finished run's model, and of the model it was trained from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swift_core.assemble.spans import RowMistake
from swift_core.contracts.images import ImageRef
from swift_core.contracts.sounds import SoundRef
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from swift_core.contracts.data import Message, TextEncoder


def answer(
    directory: Path,
    prompts: Sequence[str],
    *,
    system: str | None = None,
    raw: bool = False,
    images: Sequence[Path] = (),
    sounds: Sequence[Path] = (),
    with_base: bool = False,
    max_new_tokens: int = 128,
    temperature: float = 0.0,
    seed: int = 42,
) -> list[dict[str, str]]:
    """Return, for each prompt, the answer of the model: `{"trained": text}`, with `with_base` after `"base"`.

    Args:
        directory: The run directory.
        prompts: What the user says, or with `raw` a text to continue.
        system: System message; None takes `data.system` of the run.
        raw: Leave the chat template out.
        images: Files that every prompt shows: one for each `<image>` in it, before it when it has none.
        sounds: WAV files that every prompt plays, likewise where `<audio>` stands.
        with_base: Let the untrained model answer too.
        max_new_tokens: Longest answer, in tokens.
        temperature: 0 always takes the likeliest token.
        seed: Of what is drawn, for each model anew.

    Raises:
        SwiftError: `directory` is no finished run, or its model cannot be loaded.
    """
    import torch

    from swift_core.assemble.generate import generate
    from swift_core.assemble.trained import load_base, load_run_tokenizer, open_run
    from swift_core.assemble.vision.encoder import encoder_for
    from swift_core.assemble.vision.shown import as_shown

    run = open_run(directory)
    try:
        encoder = encoder_for(load_run_tokenizer(run), run.settings.model.chat_template_kwargs, run.base_folder)
        model = load_base(run)
    except ValueError as error:
        raise SwiftError(Problem("model-unavailable", f"{error}.", None, "train the run again")) from error
    chosen_system = run.settings.data.system if system is None else system
    given = [ImageRef(path=str(each.absolute())) for each in images]
    shown, prompts = as_shown(encoder, [*given, *(SoundRef(path=str(each.absolute())) for each in sounds)], prompts)
    asked = list(prompts) if raw else [_conversation(prompt, chosen_system, encoder) for prompt in prompts]

    answers: dict[str, list[str]] = {}
    for name in (["base"] if with_base else []) + ["trained"]:
        if name == "trained":
            model = run.tuner.from_pretrained(model, run.artifact)
        torch.manual_seed(seed)
        options: Any = {"max_new_tokens": max_new_tokens, "temperature": temperature}
        try:
            answers[name] = generate(model, encoder, asked, images=[shown] * len(asked), **options)
        except RowMistake as mistake:
            raise SwiftError(Problem(mistake.code, str(mistake), None, mistake.next_step)) from mistake
    return [{name: texts[index] for name, texts in answers.items()} for index in range(len(asked))]


def _conversation(prompt: str, system: str, encoder: TextEncoder) -> list[Message]:
    """Return the prompt as a user's turn; raise SwiftError when the chat template refuses it."""
    head: list[Message] = [{"role": "system", "content": system}] if system else []
    turns: list[Message] = [*head, {"role": "user", "content": prompt}]
    try:
        encoder.render(turns, add_generation_prompt=True)
    except ValueError as error:
        message = f"the prompt cannot be put into the model's chat template: {error}"
        raise SwiftError(Problem("chat-template", message, None, "--raw continues the prompt as plain text")) from error
    return turns
