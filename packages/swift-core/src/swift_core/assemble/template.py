"""From a conversation, or plain text, to tokens and which of them are trained.

The whole text is tokenised once, so the ids are those of `apply_chat_template`. What is trained is a matter of
position, never of token ids: a turn's text is what rendering it adds to the prompt before it, its end-of-turn token
included. So an end token that is also the padding token is trained where an answer ends, and not where a user wrote it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_core.assemble.encoder import NoChatTemplate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swift_core.contracts.data import Message, TextEncoder

Span = tuple[int, int]
"""Characters [start, end) of a text."""


class RowMistake(ValueError):  # noqa: N818 -- named after whose mistake it is
    """A row that cannot be encoded. Its place is added where rows are read."""

    def __init__(self, code: str, message: str, next_step: str) -> None:
        super().__init__(message)
        self.code = code
        self.next_step = next_step


@dataclass(frozen=True, slots=True)
class Encoded:
    """Tokens, and for each whether it is trained."""

    ids: list[int]
    trained: list[bool]

    @property
    def first_trained(self) -> int:
        """Index of the first trained token; raise ValueError when there is none."""
        return self.trained.index(True)


def encode_text(encoder: TextEncoder, text: str) -> Encoded:
    """Return plain text to learn whole, with the end-of-text token after it."""
    encoded = encode_plain(encoder, "", text)
    return Encoded(encoded.ids, [True] * len(encoded.ids))


def encode_plain(encoder: TextEncoder, prompt: str, completion: str) -> Encoded:
    """Return a prompt with its completion, both plain strings; an end-of-text token is added unless it is there.

    A token that reaches from the prompt into the completion counts as completion: the model must predict it.
    """
    ids, offsets = encoder.encode_with_offsets(prompt + completion)
    trained = _trained(offsets, [(len(prompt), len(prompt) + len(completion))])
    opening = list(encoder.opening_ids)
    if ids[: len(opening)] == opening:
        opening = []
    if not ids or ids[-1] != encoder.eos_token_id:
        ids, trained = [*ids, encoder.eos_token_id], [*trained, True]
    return Encoded([*opening, *ids], [False] * len(opening) + trained)


def encode_conversation(
    encoder: TextEncoder,
    messages: Sequence[Message],
    *,
    tools: Sequence[Mapping[str, Any]] = (),
    first: int = 0,
) -> Encoded:
    """Return a conversation whose turns from index `first` on may be trained; earlier ones are only read.

    Raises:
        RowMistake: `no-chat-template`, `template-refuses`, `template-not-prefix-stable`, `end-of-turn-not-trained`,
            `template-marks-disagree` or `nothing-trained`.
    """
    try:
        text, spans = _spans(encoder, messages, tools, first)
    except NoChatTemplate as error:
        raise RowMistake(
            "no-chat-template",
            "The tokenizer has no chat template, and the row is a conversation.",
            "set model.chat_template to a Jinja file, use the chat version of the model, or give data of plain prompt "
            "and completion",
        ) from error
    except RowMistake:
        raise
    except ValueError as error:
        raise RowMistake(
            "template-refuses", f"{_sentence(str(error))}.", "change the row, or model.chat_template"
        ) from error
    ids, offsets = encoder.encode_with_offsets(text)
    trained = _trained(offsets, spans)
    if not any(trained):
        raise RowMistake(
            "nothing-trained", "No token of this row would be trained.", "give it an assistant turn with text"
        )
    return Encoded(ids, trained)


def trained_turns(messages: Sequence[Message], first: int = 0) -> list[int]:
    """Return which turns are trained: assistant turns from `first` on, unless a turn says otherwise by `loss`."""
    return [
        index
        for index, message in enumerate(messages)
        if index >= first and message.get("loss", message["role"] == "assistant")
    ]


def _spans(
    encoder: TextEncoder, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], first: int
) -> tuple[str, list[Span]]:
    text = encoder.render(messages, tools=tools)
    turns = trained_turns(messages, first)
    if not turns:
        raise RowMistake(
            "nothing-trained", "The row has no turn to train.", "give it an assistant turn without `loss: false`"
        )
    spans = [_turn_span(encoder, text, messages, tools, index) for index in turns]
    _check_tools_shown(text, messages, tools)
    _compare_with_marks(encoder.generation_marks(messages, tools=tools), text, spans, encoder.special_tokens, turns)
    return text, spans


def _turn_span(
    encoder: TextEncoder, text: str, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], index: int
) -> Span:
    """Return the characters of `text` that the model would write as turn `index`."""
    generated = messages[index]["role"] == "assistant"
    before = (
        encoder.render(messages[:index], tools=tools, add_generation_prompt=generated) if index or generated else ""
    )
    until = text if index == len(messages) - 1 else encoder.render(messages[: index + 1], tools=tools)
    until = _without_closing(until, text, encoder.special_tokens)
    if not text.startswith(before) or not text.startswith(until) or len(until) <= len(before):
        raise RowMistake(
            "template-not-prefix-stable",
            f"The chat template writes turn {index + 1} differently when more turns follow it, or when it is the one to "
            f"be generated (first difference: {_difference(text, before, until)}), so what the model would learn is not "
            "what it is asked at generation.",
            "train the last turn only (`loss: false` on earlier assistant turns), or give a template that keeps "
            "earlier turns as they were (model.chat_template, model.chat_template_kwargs)",
        )
    end = _end_of_turn(until, encoder.special_tokens)
    if generated and end <= len(before):
        raise RowMistake(
            "end-of-turn-not-trained",
            f"The chat template ends turn {index + 1} with {text[len(before) : len(until)][-12:]!r} and no special token, "
            "so the model would never learn to stop.",
            "use a template that ends an assistant turn with the end-of-text token (model.chat_template)",
        )
    return len(before), end if generated else len(until)


def _without_closing(until: str, text: str, special_tokens: frozenset[str]) -> str:
    """Return `until` less what a template writes only after the last turn, such as the end-of-text token."""
    while not text.startswith(until):
        bare = until.rstrip()
        closing = _special_ending(bare, special_tokens)
        if bare == until and not closing:
            return until
        until = bare if bare != until else until.removesuffix(closing)
    return until


def _end_of_turn(until: str, special_tokens: frozenset[str]) -> int:
    """Return where the special token that ends `until` ends, white space after it left out; 0 when none does."""
    bare = until.rstrip()
    for end in (until, bare):
        if _special_ending(end, special_tokens):
            return len(end)
    return 0


def _special_ending(text: str, special_tokens: frozenset[str]) -> str:
    """Return the longest special token that `text` ends with, or nothing."""
    return max((token for token in special_tokens if token and text.endswith(token)), key=len, default="")


def _check_tools_shown(text: str, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> None:
    """Raise RowMistake when the template leaves out tools or calls, as templates do that know none."""
    calls = [call for message in messages for call in message.get("tool_calls", [])]
    names = [str(entry.get("function", entry).get("name", "")) for entry in [*tools, *calls]]
    missing = next((name for name in names if name not in text), None)
    if missing is not None:
        raise RowMistake(
            "template-drops-tools",
            f"The chat template writes nothing of the tool {missing!r}, so the model would not see what the row says.",
            "use a model whose chat template knows tools, set model.chat_template, or remove tools and tool calls",
        )


def _compare_with_marks(
    marks: Sequence[Span], text: str, spans: Sequence[Span], special_tokens: frozenset[str], turns: Sequence[int]
) -> None:
    """Raise RowMistake unless the generation blocks of the template, if any, mark what was found by position."""
    if not marks:
        return
    for (start, end), turn in zip(spans, turns, strict=True):
        inside = [mark for mark in marks if mark[0] < end and mark[1] > start]
        left_out = _difference_of_spans((start, end), inside)
        outside = [text[low:start] for low, _ in inside if low < start] + [
            text[end:high] for _, high in inside if high > end
        ]
        unmarked = [text[low:high] for low, high in left_out]
        wrong = [piece for piece in [*outside, *unmarked] if not _is_frame(piece, special_tokens)]
        if wrong:
            raise RowMistake(
                "template-marks-disagree",
                f"The chat template's generation blocks and the text it adds for turn {turn + 1} disagree about "
                f"{_short(wrong[0])}.",
                "mend the generation blocks of the template, or set model.chat_template to one without them",
            )


def _difference_of_spans(whole: Span, parts: Sequence[Span]) -> list[Span]:
    """Return the pieces of `whole` that no part covers."""
    position, end = whole
    pieces = []
    for low, high in sorted(parts):
        if low > position:
            pieces.append((position, min(low, end)))
        position = max(position, high)
    if position < end:
        pieces.append((position, end))
    return pieces


def _is_frame(piece: str, special_tokens: frozenset[str]) -> bool:
    """Say whether `piece` is white space and special tokens alone."""
    piece = piece.strip()
    while piece and (token := _special_ending(piece, special_tokens)):
        piece = piece.removesuffix(token).strip()
    return not piece


def _trained(offsets: Sequence[Span], spans: Sequence[Span]) -> list[bool]:
    """Say of each token whether its characters overlap a span; a token without characters belongs where it stands.

    The spans are in order and apart from each other, as the tokens are.
    """
    trained, number = [], 0
    for start, end in offsets:
        while number < len(spans) and spans[number][1] <= start:
            number += 1
        trained.append(number < len(spans) and max(end, start + 1) > spans[number][0])
    return trained


def _difference(text: str, *prefixes: str) -> str:
    """Return where the first prefix that is none leaves `text`."""
    for prefix in prefixes:
        if not text.startswith(prefix):
            position = next((i for i, (a, b) in enumerate(zip(text, prefix, strict=False)) if a != b), len(text))
            return f"{_short(text[position:])} against {_short(prefix[position:])}"
    return "the turn adds no text"


def _short(text: str) -> str:
    return repr(text if len(text) <= 32 else f"{text[:29]}...")


def _sentence(text: str) -> str:
    return (text[:1].upper() + text[1:]).rstrip(".")
