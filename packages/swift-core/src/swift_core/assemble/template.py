"""From a conversation, or plain text, to tokens and which of them are trained.

The whole text is tokenised once, so the ids are those of `apply_chat_template`. What is trained is a matter of
position, never of token ids: a turn's text is what rendering it adds to the prompt before it, its end-of-turn token
included. So an end token that is also the padding token is trained where an answer ends, and not where a user wrote it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_core.assemble.encoder import NoChatTemplate
from swift_core.assemble.inner import own_spans
from swift_core.assemble.scales import Piece, plain_pieces, scaled_pieces
from swift_core.assemble.spans import RowMistake, Span, trained_spans

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swift_core.assemble.scales import LossScales
    from swift_core.contracts.data import Message, TextEncoder


@dataclass(frozen=True, slots=True)
class Encoded:
    """Tokens, and for each whether it is trained."""

    ids: list[int]
    trained: list[bool]
    weights: list[float] | None = None
    """How much each token counts in the loss; None: every trained one 1."""

    num_before_cut: int = 0
    """How many tokens must stay in a cut: those up to the end of the last image; 0 without images."""

    @property
    def taught(self) -> list[bool]:
        """Of each token whether it is trained and counts: a weight of 0 keeps it out."""
        if self.weights is None:
            return self.trained
        return [mine and weight > 0 for mine, weight in zip(self.trained, self.weights, strict=True)]

    @property
    def first_trained(self) -> int:
        """Index of the first trained token; raise ValueError when there is none."""
        return self.trained.index(True)

    def cut(self, length: int) -> Encoded:
        """Return the first `length` tokens."""
        weights = None if self.weights is None else self.weights[:length]
        return Encoded(self.ids[:length], self.trained[:length], weights, self.num_before_cut)

    def without(self, images: frozenset[int]) -> Encoded:
        """Return it with none of the tokens `images` trained; cuts behind the last of them alone are allowed."""
        if not images:
            return self
        own = [token in images for token in self.ids]
        weights = None
        if self.weights is not None:
            weights = [0.0 if mine else weight for mine, weight in zip(own, self.weights, strict=True)]
        trained = [was and not mine for mine, was in zip(own, self.trained, strict=True)]
        return Encoded(self.ids, trained, weights, len(own) - own[::-1].index(True) if True in own else 0)


def encode_text(encoder: TextEncoder, text: str) -> Encoded:
    """Return plain text to learn whole, with the end-of-text token after it."""
    encoded = encode_plain(encoder, "", text)
    return Encoded(encoded.ids, [True] * len(encoded.ids))


def encode_plain(encoder: TextEncoder, prompt: str, completion: str, *, scales: LossScales | None = None) -> Encoded:
    """Return a prompt with its completion, both plain strings; an end-of-text token is added unless it is there.

    A token that reaches from the prompt into the completion counts as completion: the model must predict it.
    """
    ids, offsets = encoder.encode_with_offsets(prompt + completion)
    if scales is None:
        encoded = Encoded(ids, _trained(offsets, [(len(prompt), len(prompt) + len(completion))]))
    else:
        encoded = _weighed(ids, offsets, plain_pieces(prompt, completion, scales))
    trained, weights = encoded.trained, encoded.weights
    opening = list(encoder.opening_ids)
    if ids[: len(opening)] == opening:
        opening = []
    if not ids or ids[-1] != encoder.eos_token_id:
        ids, trained = [*ids, encoder.eos_token_id], [*trained, True]
        weights = None if weights is None else [*weights, 1.0]
    weights = None if weights is None else [0.0] * len(opening) + weights
    return Encoded([*opening, *ids], [False] * len(opening) + trained, weights)


def encode_conversation(
    encoder: TextEncoder,
    messages: Sequence[Message],
    *,
    tools: Sequence[Mapping[str, Any]] = (),
    first: int = 0,
    scales: LossScales | None = None,
) -> Encoded:
    """Return a conversation whose turns from index `first` on may be trained; earlier ones are only read.

    Loss scales, and turns with a `weight` of their own, decide what each token counts.

    Raises:
        RowMistake: `no-chat-template`, `template-refuses`, `template-not-prefix-stable`, `end-of-turn-not-trained`,
            `template-marks-disagree` or `nothing-trained`.
    """
    try:
        text, spans = trained_spans(encoder, messages, tools, first)
        own = [span for turn, whole in spans.items() for span in own_spans(text, whole, messages[turn])]
        weighted = scales is not None or any("weight" in message for message in messages)
        pieces = scaled_pieces(encoder, text, messages, tools, spans, scales) if weighted else None
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
    encoded = Encoded(ids, _trained(offsets, own)) if pieces is None else _weighed(ids, offsets, pieces)
    if not any(encoded.trained):
        raise RowMistake(
            "nothing-trained", "No token of this row would be trained.", "give it an assistant turn with text"
        )
    return encoded


def _weighed(ids: list[int], offsets: Sequence[Span], pieces: Sequence[Piece]) -> Encoded:
    """Return tokens with their weights; a token that touches several pieces has the largest of theirs."""
    weights = [0.0] * len(ids)
    for start, end, weight in pieces:
        touched = _trained(offsets, [(start, end)])
        weights = [max(weight, old) if mine else old for mine, old in zip(touched, weights, strict=True)]
    return Encoded(ids, [weight > 0 for weight in weights], weights)


def _trained(offsets: Sequence[Span], spans: Sequence[Span]) -> list[bool]:
    """Say of each token whether its characters overlap a span; a token without characters belongs where it stands.

    Tokens are in the order of the text, so neither their starts nor their ends ever fall.
    """
    starts = [start for start, _ in offsets]
    ends = [end if end > start else start + 1 for start, end in offsets]
    trained = [False] * len(offsets)
    for low, high in spans:
        if low < high:
            first, last = bisect_right(ends, low), bisect_left(starts, high)
            trained[first:last] = [True] * (last - first)
    return trained


def _sentence(text: str) -> str:
    return (text[:1].upper() + text[1:]).rstrip(".")
