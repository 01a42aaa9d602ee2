"""Remote PRM: scores of steps from a server, over three protocols of vLLM.

    pooling    /pooling, task token_classify: one vector of classes per step token (process reward models)
    score      /score: one score per document, a document being the answer up to a step
    rerank     /rerank: the same, sent back in the order of relevance; put back in order by index

Lightman et al., 2023, arXiv:2305.20050 (scores of steps). An answer that the server does not score, or not in as many
steps as it has, counts as failed and not as 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from swift_core.plugin_api import RemoteClient, RewardFailure, report_failure
from swift_reward_zoo._conversation import question_of, turns_before
from swift_reward_zoo.steps import Style, join_steps, split_steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.plugin_api import InferRequest

_PATHS = {"pooling": "/pooling", "score": "/score", "rerank": "/rerank"}


@dataclass(kw_only=True)
class RemotePrm:
    """Scores of steps from a vLLM server."""

    url: str
    """Where the server is: `http://localhost:8000`."""

    model: str
    """Name of the model on the server."""

    protocol: Literal["pooling", "score", "rerank"] = "pooling"
    """How the server is asked."""

    step_token: str = "<extra_0>"
    """What is written after each step (pooling)."""

    right_class: int = -1
    """Class of a right step in each vector (pooling); -1 is the last."""

    documents: Literal["prefixes", "steps"] = "prefixes"
    """What is scored for a step: the answer up to and with it, or the step alone (score, rerank)."""

    style: Style = "auto"
    """Where answers are cut into steps."""

    api_key_env: str = ""
    """Environment variable with the key that is sent as a bearer token; empty sends none."""

    allow_hosts: Sequence[str] = ()
    """Hosts, addresses and networks that may be asked although they are private, or with plain http."""

    max_concurrency: int = 16
    """Requests under way at a time, >= 1."""

    timeout: float = 60.0
    """Seconds that one request may take, > 0."""

    deadline: float = 600.0
    """Seconds that all answers of one call may take together, > 0."""

    scope: ClassVar[str] = "sample"
    _client: RemoteClient = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the options; nothing is sent yet."""
        if self.protocol not in _PATHS:
            raise ValueError(f"protocol must be one of {', '.join(_PATHS)}, got {self.protocol!r}")
        if self.protocol == "pooling" and not self.step_token:
            raise ValueError("step_token must not be empty")
        self._client = RemoteClient(
            url=self.url,
            api_key_env=self.api_key_env,
            allow_hosts=self.allow_hosts,
            max_concurrency=self.max_concurrency,
            timeout=self.timeout,
            deadline=self.deadline,
        )

    def __call__(self, infer_requests: Sequence[InferRequest]) -> list[list[float] | None]:
        """Return one score per step, none for an answer without steps, None for one that the server did not score."""
        steps = [split_steps(request.response, self.style) for request in infer_requests]
        asked = [row for row, own in enumerate(steps) if own]
        bodies = [self._body(infer_requests[row], steps[row]) for row in asked]
        scores: list[list[float] | None] = [[] for _ in steps]
        for row, answer in zip(asked, self._client.ask(_PATHS[self.protocol], bodies), strict=True):
            scores[row] = self._read(row, answer, len(steps[row]))
        return scores

    def _body(self, request: InferRequest, steps: Sequence[str]) -> dict[str, Any]:
        if self.protocol == "pooling":
            content = "".join(step.replace(self.step_token, "") + self.step_token for step in steps)
            turns = [*turns_before(request), {"role": "assistant", "content": content}]
            return {
                "model": self.model,
                "messages": turns,
                "task": "token_classify",
                "add_generation_prompt": False,
            }
        prefixes = [join_steps(steps[: end + 1]) for end in range(len(steps))]
        documents = prefixes if self.documents == "prefixes" else list(steps)
        query = {"score": "queries", "rerank": "query"}[self.protocol]
        return {"model": self.model, query: question_of(request), "documents": documents}

    def _read(self, row: int, answer: Any, num_steps: int) -> list[float] | None:
        """Return the scores of an answer's steps; None after reporting why there are none."""
        if isinstance(answer, RewardFailure):
            report_failure(row, answer.kind, answer.message)
            return None
        read = {"pooling": self._pooled, "score": _scored, "rerank": _reranked}
        try:
            scores = read[self.protocol](answer)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            report_failure(row, "error", f"{self.url}: not an answer of protocol {self.protocol}: {error!r}")
            return None
        if len(scores) != num_steps or not all(math.isfinite(score) for score in scores):
            report_failure(row, "error", f"{self.url}: {len(scores)} scores for {num_steps} steps: {scores[:8]}")
            return None
        return scores

    def _pooled(self, answer: Any) -> list[float]:
        """Return the class of right steps in each vector of the one text that was sent."""
        (item,) = answer["data"]
        return [float(value[self.right_class] if isinstance(value, list) else value) for value in item["data"]]


def _scored(answer: Any) -> list[float]:
    return _by_index([(item["index"], item["score"]) for item in answer["data"]])


def _reranked(answer: Any) -> list[float]:
    return _by_index([(item["index"], item["relevance_score"]) for item in answer["results"]])


def _by_index(pairs: list[tuple[int, float]]) -> list[float]:
    """Return scores in the order of the documents; raise ValueError unless each has one."""
    if sorted(index for index, _ in pairs) != list(range(len(pairs))):
        raise ValueError(f"indices {[index for index, _ in pairs]}")
    return [float(score) for _, score in sorted(pairs)]
