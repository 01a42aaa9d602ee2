"""The loss scales of a run as one: which characters of a conversation are trained, and how much each counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_core.assemble.broken_part import told
from swift_core.assemble.inner import own_spans
from swift_core.assemble.spans import Span, turn_span
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from swift_core.contracts.data import Message, TextEncoder
    from swift_core.contracts.handover import PartPlan, RunPlan
    from swift_core.contracts.loss_scale import LossScale

Piece = tuple[int, int, float]
"""Characters [start, end) of a text and the weight of what stands there."""


@dataclass(frozen=True, slots=True)
class LossScales:
    """Loss scales with their places in the run file; the weights that they give are multiplied."""

    scales: Sequence[tuple[PartPlan, LossScale]]
    plan: RunPlan

    @property
    def names(self) -> list[str]:
        """The names of the loss scales, in the order of the run file."""
        return [part.plugin.name for part, _ in self.scales]

    def weigh(self, context: str, context_type: Any, is_last_round: bool) -> list[Piece]:
        """Return `context` in pieces.

        Raises:
            SwiftError: A loss scale raised, lost text, or gave a weight that is none.
        """
        weights = [1.0] * len(context)
        for part, scale in self.scales:
            position = 0
            for piece, weight in self._checked(part, scale, context, context_type, is_last_round):
                end = position + len(piece)
                weights[position:end] = [old * weight for old in weights[position:end]]
                position = end
        return _runs(weights)

    def _checked(
        self, part: PartPlan, scale: LossScale, context: str, context_type: Any, is_last_round: bool
    ) -> Iterator[tuple[str, float]]:
        with told(self.plan, part):
            answer = scale.get_loss_scale(context, context_type, is_last_round)
        try:
            pieces, weights = answer
        except (TypeError, ValueError) as error:
            raise self._failed(part, f"must return pieces and their weights, got {answer!r:.60}") from error
        if len(pieces) != len(weights) or "".join(pieces) != context:
            raise self._failed(
                part, f"must cut {context[:40]!r} into pieces with a weight each, and lose nothing of it"
            )
        for weight in weights:
            if not (isinstance(weight, int | float) and math.isfinite(weight) and weight >= 0):
                raise self._failed(part, f"must give finite weights >= 0, got {weight!r}")
        yield from zip(pieces, map(float, weights), strict=True)

    def _failed(self, part: PartPlan, what: str) -> SwiftError:
        plugin = part.plugin
        message = f"{plugin.in_full} {what}"
        return SwiftError(Problem("loss-scale-failed", message, self.plan.config.place(part.key), plugin.info_command))


def scaled_pieces(
    encoder: TextEncoder,
    text: str,
    messages: Sequence[Message],
    tools: Sequence[Mapping[str, Any]],
    trained: Mapping[int, Span],
    scales: LossScales | None,
) -> list[Piece]:
    """Return the pieces of a rendered conversation with their weights.

    A turn's own `loss` says whether it is trained before any scale does, and its own `weight` multiplies.

    Args:
        encoder: The tokenizer with the template.
        text: The rendered conversation.
        messages: Its turns.
        tools: The tools it was rendered with.
        trained: Turn -> its characters, of the turns that are trained by role or by their own `loss`.
        scales: The run's loss scales; None weighs 1 what is trained.
    """
    asking = [i for i, turn in enumerate(messages) if turn["role"] == "user" and not turn.get("of_tools")]
    last_user = max(asking, default=-1)
    pieces: list[Piece] = []
    shown = dict(trained)
    if scales is not None:
        silent = [i for i, message in enumerate(messages) if message.get("loss") is False]
        shown |= {index: turn_span(encoder, text, messages, tools, index) for index in silent}
    position = 0
    for index, (start, end) in sorted(shown.items(), key=lambda item: item[1]):
        if scales is not None and start > position:
            pieces += _moved(scales.weigh(text[position:start], "query", index > last_user), position)
        position = max(position, end)
        pieces += _turn(messages[index], text, (start, end), index > last_user, scales)
    if scales is not None and position < len(text):
        pieces += _moved(scales.weigh(text[position:], "other", is_last_round=True), position)
    return pieces


def plain_pieces(prompt: str, completion: str, scales: LossScales) -> list[Piece]:
    """Return the pieces of a plain prompt with its completion, the one round of a conversation without a template."""
    return [
        *scales.weigh(prompt, "query", is_last_round=True),
        *_moved(scales.weigh(completion, "response", is_last_round=True), len(prompt)),
    ]


def _turn(message: Message, text: str, span: Span, is_last_round: bool, scales: LossScales | None) -> list[Piece]:
    if message.get("loss") is False:
        return []
    weight = float(message.get("weight", 1.0))
    pieces: list[Piece] = []
    for start, end in own_spans(text, span, message):
        if scales is None or message["role"] != "assistant":
            pieces.append((start, end, weight))
        else:
            own = _moved(scales.weigh(text[start:end], "response", is_last_round), start)
            pieces += [(low, high, scale * weight) for low, high, scale in own]
    return pieces


def _moved(pieces: Sequence[Piece], by: int) -> list[Piece]:
    return [(start + by, end + by, weight) for start, end, weight in pieces]


def _runs(weights: Sequence[float]) -> list[Piece]:
    starts = [index for index in range(len(weights)) if index == 0 or weights[index] != weights[index - 1]]
    return [(start, end, weights[start]) for start, end in zip(starts, [*starts[1:], len(weights)], strict=True)]
