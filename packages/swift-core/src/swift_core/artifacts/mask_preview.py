"""The first training rows as text, with the tokens that are trained told apart from those that are only read."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

from swift_core.contracts.media import media_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swift_core.contracts.data import TextEncoder

IGNORED = -100
MAX_TOKENS = 1200
"""Longest sequence shown whole; of a longer one the rest is counted."""


def mask_preview(rows: Any, encoder: TextEncoder, num_rows: int = 3) -> list[dict[str, Any]]:
    """Return the first rows as `{title, num_tokens, num_trained, num_hidden, pieces: [{text, trained, weight}]}`.

    A preference row gives two entries, chosen and rejected. Of a text that a head scores the last token counts as
    trained. Rows of another make give none.
    """
    entries: list[dict[str, Any]] = []
    items = [rows[index] for index in range(min(num_rows, len(rows)))]
    shown = [row for item in items for row in (item if isinstance(item, list) else [item])]  # a pack is a list of rows
    for index, row in enumerate(shown[:num_rows]):
        for title, ids, trained in _sequences(index, row):
            weights = row.get("loss_scale") or [1.0] * len(ids)
            images = _images(row, ids, encoder)
            entries.append({"title": title, **_entry(ids, trained, weights, encoder, images)})
    return entries


def _sequences(index: int, row: Mapping[str, Any]) -> list[tuple[str, list[int], list[bool]]]:
    """Return (title, token ids, which of them are trained) for each sequence of a row."""
    if "labels" in row:
        trained = [label != IGNORED for label in _integers(row["labels"])]
        return [(f"row {index + 1}", _integers(row["input_ids"]), trained)]
    if "class_label" in row:
        return [(f"row {index + 1}, label {row['title']}", *_scored(row["input_ids"]))]
    if "chosen_ids" in row and "prompt_ids" not in row:
        return [(f"row {index + 1}, {side}", *_scored(row[f"{side}_ids"])) for side in ("chosen", "rejected")]
    if "chosen_ids" in row:
        prompt = _integers(row["prompt_ids"])
        return [
            (f"row {index + 1}, {side}", prompt + answer, _answered(prompt, answer, row.get(f"{side}_trained")))
            for side in ("chosen", "rejected", "gold")
            if f"{side}_ids" in row
            for answer in (_integers(row[f"{side}_ids"]),)
        ]
    if "completion_ids" in row:
        prompt, answer = _integers(row["prompt_ids"]), _integers(row["completion_ids"])
        label = "desirable" if row["desirable"] else "undesirable"
        trained = _answered(prompt, answer, row.get("completion_trained"))
        return [(f"row {index + 1}, {label}", prompt + answer, trained)]
    return []


def _answered(prompt: Sequence[int], answer: Sequence[int], trained: Sequence[bool] | None) -> list[bool]:
    """Return which tokens of a prompt with an answer are trained; all of the answer when `trained` is None."""
    return [False] * len(prompt) + ([True] * len(answer) if trained is None else list(trained))


def _scored(ids: Any) -> tuple[list[int], list[bool]]:
    """Return tokens of which the last alone is scored."""
    return _integers(ids), [False] * (len(ids) - 1) + [True]


def _images(row: Mapping[str, Any], ids: Sequence[int], encoder: Any) -> dict[int, tuple[int, str]]:
    """Return where each image of a row begins -> where it ends, and what is shown for it."""
    refs = media_of(row)
    if not refs or not hasattr(encoder, "with_images"):
        return {}
    places = encoder.with_images(refs).places_of_images(ids)
    shown = {}
    for number, (ref, (start, end)) in enumerate(zip(refs, places, strict=True), 1):
        tokens = "1 token" if end - start == 1 else f"{end - start:,} tokens"
        shown[start] = (end, f"<{ref.kind} {number}: {ref.summary()}, {tokens}>")
    return shown


def _entry(
    ids: Sequence[int],
    trained: Sequence[bool],
    weights: Sequence[float],
    encoder: TextEncoder,
    images: Mapping[int, tuple[int, str]],
) -> dict[str, Any]:
    inside = {place: text for start, (end, text) in images.items() for place in range(start, end)}
    shown = [
        (token, mine, weight if mine else 1.0, inside.get(place, ""))
        for place, (token, mine, weight) in enumerate(zip(ids, trained, weights, strict=False))
    ][:MAX_TOKENS]
    pieces = []
    for (is_trained, weight, image), group in groupby(shown, key=lambda entry: entry[1:]):
        # Runs of tokens are decoded together: one character may be spread over several tokens.
        text = image or encoder.decode([token for token, *_ in group])
        pieces.append({"text": text, "trained": is_trained, "weight": weight})
    return {
        "num_tokens": len(ids),
        "num_trained": sum(trained),
        "num_hidden": len(ids) - len(shown),
        "pieces": pieces,
    }


def _integers(values: Any) -> list[int]:
    return [int(value) for value in values]
