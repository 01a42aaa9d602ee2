"""What a machine of a cluster and its host say to each other: JSON, in frames of bytes that Ray carries as they are."""

from __future__ import annotations

import json
from typing import Any

from swift_core.sandbox.failures import SandboxUnavailableError, WorkerFailure, WorkerStartError

_FAILURE, _ANSWER = "failure", "answer"


def packed(message: Any) -> bytes:
    """Return `message` as bytes; TypeError when JSON cannot say it."""
    return json.dumps(message, separators=(",", ":")).encode("ascii")


def said(answer: Any) -> dict[str, Any]:
    """Return an answer or a failure as plain data."""
    if isinstance(answer, WorkerFailure):
        return {_FAILURE: _told(answer)}
    return {_ANSWER: answer}


def heard(message: dict[str, Any]) -> Any:
    """Return what `said` was given."""
    return message[_ANSWER] if _ANSWER in message else WorkerFailure(**message[_FAILURE])


def refusal(error: SandboxUnavailableError | WorkerStartError) -> dict[str, Any]:
    """Return why a machine has no workers, as plain data."""
    if isinstance(error, SandboxUnavailableError):
        return {"unavailable": [error.required, error.reached, error.reason]}
    return {"broken": _told(error.failure)}


def raise_refusal(message: dict[str, Any], target: str) -> None:
    """Raise what `refusal` was given, if it was given anything."""
    if "unavailable" in message:
        raise SandboxUnavailableError(*message["unavailable"])
    if "broken" in message:
        raise WorkerStartError(target, WorkerFailure(**message["broken"]))


def _told(failure: WorkerFailure) -> dict[str, str]:
    return {
        "kind": failure.kind,
        "message": failure.message,
        "exception": failure.exception,
        "place": failure.place,
    }
