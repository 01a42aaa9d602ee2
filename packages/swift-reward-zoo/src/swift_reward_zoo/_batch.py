"""What every reward checks about the rows it is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from swift_core.plugin_api import InferRequest


def check_lengths(
    reward: str, infer_requests: Sequence[InferRequest], columns: Mapping[str, Sequence[Any] | None]
) -> None:
    """Raise ValueError when a column that was given has not one value per response."""
    for name, values in columns.items():
        if values is not None and len(values) != len(infer_requests):
            raise ValueError(f"{reward} got {len(infer_requests)} responses but {len(values)} {name}")


def truth_text(row: int, truth: object) -> str:
    """Return the ground truth of a row as text; raise ValueError naming the row when it is neither text nor number."""
    if not isinstance(truth, (str, int, float)) or isinstance(truth, bool):
        raise ValueError(f"ground truth of row {row} is {shown(truth)}, not an answer")
    if not str(truth).strip():
        raise ValueError(f"ground truth of row {row} is empty")
    return str(truth)


def truth_texts(row: int, truth: object) -> list[str]:
    """Return the ground truths of a row that accepts several answers: one text, or a list of them."""
    if isinstance(truth, (list, tuple)) and truth:
        return [truth_text(row, one) for one in truth]
    return [truth_text(row, truth)]


def response_lengths(
    reward: str,
    infer_requests: Sequence[InferRequest],
    response_token_ids: Sequence[Sequence[int]] | None,
    completion_ids: Sequence[Sequence[int]] | None,
) -> list[int]:
    """Return the length of each response: in tokens where a column has their ids, else in characters."""
    columns = {"response_token_ids": response_token_ids, "completion_ids": completion_ids}
    check_lengths(reward, infer_requests, columns)
    given = next((ids for ids in columns.values() if ids is not None), None)
    if given is None:
        return [len(request.response or "") for request in infer_requests]
    for row, ids in enumerate(given):
        if isinstance(ids, (str, bytes)) or not hasattr(ids, "__len__"):
            raise ValueError(f"{reward} needs the token ids of row {row} as a list, got {shown(ids)}")
    return [len(ids) for ids in given]


def shown(value: object) -> str:
    """Return a value as a message shows it: at most 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
