"""Which characters of a rendered turn are the model's own, where a turn holds what tools said as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.assemble.spans import RowMistake, Span

if TYPE_CHECKING:
    from swift_core.contracts.data import Message


def content_start(text: str, span: Span, content: str) -> tuple[int, int]:
    """Return where the content of a turn starts in `text`, and how much white space it lost there.

    Args:
        text: A rendered conversation.
        span: The characters to look in.
        content: What the turn says.

    Raises:
        RowMistake: The template writes the content otherwise than it is.
    """
    lost = len(content) - len(content.lstrip())
    for looked_for, skipped in ((content, 0), (content.strip(), lost)):
        position = text.rfind(looked_for, *span)
        if position >= 0:
            return position, skipped
    raise RowMistake(
        "template-rewrites-turn",
        "The chat template rewrites a turn that holds what a tool said, so what the model said itself cannot be told.",
        "use an agent template that gives results a turn of their own (hermes), or set model.chat_template",
    )


def own_spans(text: str, span: Span, message: Message) -> list[Span]:
    """Return the pieces of a trained turn that the model writes: all of it, unless parts of it are only `read`."""
    read = message.get("read")
    if not read:
        return [span]
    start, lost = content_start(text, span, message["content"])
    at, end = span
    pieces = []
    for low, high in read:
        low, high = (span[0] if low == 0 else start + low - lost), min(start + high - lost, end)
        if low > at:
            pieces.append((at, low))
        at = max(at, high)
    return [*pieces, (at, end)] if at < end else pieces
