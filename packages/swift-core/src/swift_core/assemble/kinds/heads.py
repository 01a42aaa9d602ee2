"""What row kinds of classification heads share: they know their labels before the first row, and read texts whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from swift_core.assemble.encoder import NoChatTemplate
from swift_core.assemble.spans import RowMistake
from swift_core.assemble.template import Encoded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from swift_core.contracts.data import Message, Record, TextEncoder
    from swift_core.contracts.handover import RunPlan

UNLABELLED = -100.0


@runtime_checkable
class HeadRows(Protocol):
    """A row kind whose model has a classification head."""

    def begin(self, records: Sequence[Record], plan: RunPlan) -> None:
        """Look at all training records, once, before the first row is made."""

    def head_config(self) -> dict[str, Any]:
        """Return what the model's configuration says of its head: `num_labels`, `id2label`, `problem_type`."""


def named(labels: Sequence[str], problem_type: str = "") -> dict[str, Any]:
    """Return the configuration of a head with these labels."""
    config: dict[str, Any] = {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
    }
    return config | {"problem_type": problem_type} if problem_type else config


def read_whole(
    encoder: TextEncoder,
    prompt: str | Sequence[Message] | None,
    answer: str | Sequence[Message] | None = None,
    *,
    tools: Sequence[Mapping[str, Any]] = (),
    end: bool = False,
) -> list[int]:
    """Return the tokens of a text, or of a conversation as the chat template writes it; no token of it is trained.

    Args:
        encoder: Of the model.
        prompt: Plain text, or turns.
        answer: What follows, of the same make.
        tools: For the template.
        end: Put the end-of-text token after plain text.

    Raises:
        RowMistake: The parts are of different make, or there is no template, or it refuses the conversation.
    """
    parts = [part for part in (prompt, answer) if part is not None]
    if all(isinstance(part, str) for part in parts):
        return plain_ids(encoder, "".join(str(part) for part in parts), end=end)
    if any(isinstance(part, str) for part in parts):
        message = "One part of the row is plain text and another a conversation."
        raise RowMistake("mixed-row", message, "write both alike")
    turns: list[Any] = [turn for part in parts for turn in part]
    return encoder.encode(rendered(encoder, turns, tools=tools))


def plain_ids(encoder: TextEncoder, text: str, *, end: bool) -> list[int]:
    """Return plain text as tokens, after the model's opening tokens unless the text has them."""
    ids = encoder.encode(text)
    opening = list(encoder.opening_ids)
    if ids[: len(opening)] != opening:
        ids = [*opening, *ids]
    return [*ids, encoder.eos_token_id] if end and (not ids or ids[-1] != encoder.eos_token_id) else ids


def rendered(
    encoder: TextEncoder,
    turns: Sequence[Message],
    *,
    tools: Sequence[Mapping[str, Any]] = (),
    add_generation_prompt: bool = False,
) -> str:
    """Return turns as the chat template writes them; raise RowMistake where it cannot."""
    try:
        return encoder.render(turns, tools=tools, add_generation_prompt=add_generation_prompt)
    except NoChatTemplate as error:
        raise RowMistake(
            "no-chat-template",
            "The tokenizer has no chat template, and the row is a conversation.",
            "set model.chat_template to a Jinja file, use the chat version of the model, or give plain text",
        ) from error
    except ValueError as error:
        raise RowMistake("template-refuses", f"{error}.", "change the row, or model.chat_template") from error


def last_scored(ids: list[int]) -> Encoded:
    """Return a sequence of which the last token alone is scored."""
    return Encoded(ids, [False] * (len(ids) - 1) + [True] * bool(ids))


def padded_ids(sequences: Sequence[list[int]], pad_token_id: int) -> dict[str, Tensor]:
    """Return int64 input_ids and attention_mask, [sequence, time], padded on the right to the longest."""
    from swift_core.assemble.kinds.kind import padded

    batch = padded(sequences, sequences, pad_token_id)
    return {name: batch[name] for name in ("input_ids", "attention_mask")}
