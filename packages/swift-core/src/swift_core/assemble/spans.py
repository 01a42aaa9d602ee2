"""Where in a rendered conversation the turns stand that are trained.

A turn's text is what rendering it adds to the prompt the model is asked for it with. That is found
by rendering the conversation's beginnings, so it holds for any template that never rewrites what it wrote before; one
that does is refused. Where a template has generation blocks, they must say the same.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

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


def trained_turns(messages: Sequence[Message], first: int = 0) -> list[int]:
    """Return which turns are trained: assistant turns from `first` on, unless a turn says otherwise by `loss`."""
    return [
        index
        for index, message in enumerate(messages)
        if index >= first and message.get("loss", message["role"] == "assistant")
    ]


def trained_spans(
    encoder: TextEncoder, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], first: int
) -> tuple[str, dict[int, Span]]:
    """Return the conversation as text, and turn -> its characters for each turn from index `first` on that is trained.

    Raises:
        RowMistake: No turn is trained, or the template does not tell where a turn begins and ends.
        ValueError: There is no template, or it refuses the conversation.
    """
    text = encoder.render(messages, tools=tools)
    turns = trained_turns(messages, first)
    if not turns:
        raise RowMistake(
            "nothing-trained", "The row has no turn to train.", "give it an assistant turn without `loss: false`"
        )
    spans = [turn_span(encoder, text, messages, tools, index) for index in turns]
    _check_tools_shown(text, tools)
    _check_results_shown(text, messages)
    for (start, end), turn in zip(spans, turns, strict=True):
        _check_calls_shown(text[start:end], messages[turn])
    _compare_with_marks(encoder.generation_marks(messages, tools=tools), text, spans, encoder.special_tokens, turns)
    return text, dict(zip(turns, spans, strict=True))


def turn_span(
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
        raise _not_stable(index, _difference(text, before, until))
    if not generated:
        return len(before), len(until)
    end = _end_of_turn(until, encoder.special_tokens)
    if end <= len(before):
        raise _never_ends(index, text[len(before) : len(until)])
    return len(before), end


def _not_stable(index: int, difference: str) -> RowMistake:
    return RowMistake(
        "template-not-prefix-stable",
        f"The chat template writes turn {index + 1} differently when more turns follow it, or when it is the one to be "
        f"generated (first difference: {difference}), so what the model would learn is not what it is asked for later.",
        "train the last turn only (`loss: false` on earlier assistant turns), or give a template that keeps earlier "
        "turns as they were (model.chat_template, model.chat_template_kwargs)",
    )


def _never_ends(index: int, turn_text: str) -> RowMistake:
    return RowMistake(
        "end-of-turn-not-trained",
        f"The chat template ends turn {index + 1} with {turn_text[-12:]!r} and no special token, so the model would "
        "never learn to stop.",
        "use a template that ends an assistant turn with the end-of-text token (model.chat_template)",
    )


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


def _check_tools_shown(text: str, tools: Sequence[Mapping[str, Any]]) -> None:
    """Raise RowMistake when the template leaves out a tool, as templates do that know none."""
    for name in (_tool_name(tool) for tool in tools):
        if name not in text:
            raise _drops_tools(f"the tool {name!r}")


_OFFERS = ("system", "developer")


def _check_results_shown(text: str, messages: Sequence[Message]) -> None:
    """Raise RowMistake when the template leaves out tools that are offered, or what they answered."""
    for message in messages:
        if message["role"] == "tool" or message.get("of_tools"):
            said = message["content"].strip()
            if said not in text and json.dumps(said, ensure_ascii=False)[1:-1] not in text:
                what = "the system message that offers tools" if message["role"] in _OFFERS else "what a tool answered"
                raise _drops_tools(f"{what}, {_short(said)}")


def _check_calls_shown(turn_text: str, message: Message) -> None:
    """Raise RowMistake when the template leaves out a call of this turn."""
    for name in (_tool_name(call) for call in message.get("tool_calls", [])):
        if name not in turn_text:
            raise _drops_tools(f"the call of {name!r}")


def _tool_name(entry: Mapping[str, Any]) -> str:
    return str(entry.get("function", entry).get("name", ""))


def _drops_tools(what: str) -> RowMistake:
    return RowMistake(
        "template-drops-tools",
        f"The chat template writes nothing of {what}, so the model would not see what the row says.",
        "name data.agent_template (swift plugins list --kind agent_template), use a model whose chat template knows "
        "tools, or remove tools and tool calls",
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


def _difference(text: str, *prefixes: str) -> str:
    """Return where the first prefix that is none leaves `text`."""
    for prefix in prefixes:
        if not text.startswith(prefix):
            position = next((i for i, (a, b) in enumerate(zip(text, prefix, strict=False)) if a != b), len(text))
            return f"{_short(text[position:])} against {_short(prefix[position:])}"
    return "the turn adds no text"


def _short(text: str) -> str:
    return repr(text if len(text) <= 32 else f"{text[:29]}...")
