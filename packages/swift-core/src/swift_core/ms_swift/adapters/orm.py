"""An outcome reward of ms-swift: `(completions, **columns)`, or for sampling `(infer_requests, ground_truths, ...)`.

Parameters that have a name and no default are columns that the data must have. `messages` is the conversation that was
answered; a coroutine is awaited by core.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.ms_swift.adapters._made import made, named
from swift_core.ms_swift.support import InferRequest

if TYPE_CHECKING:
    from swift_core.contracts import reward
    from swift_core.contracts.plugin import PluginSpec

_OFFERED = ("messages", "ground_truths")
"""What is made here of the requests, and is no column of the data."""


class _Reward:
    """Calls a reward with what its signature asks for."""

    plugin: ClassVar[Any]

    def __init__(self, *, arguments: dict[str, Any] | None = None) -> None:
        self._reward = made(self.plugin, arguments)
        parameters = list(inspect.signature(self._reward).parameters.values())
        self._takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
        named_ones = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        if not named_ones or named_ones[0].name not in ("completions", "infer_requests"):
            raise ValueError("an outcome reward of ms-swift takes completions, or infer_requests and ground_truths")
        self._first = named_ones[0].name
        self._asks_truths = any(p.name == "ground_truths" for p in named_ones[1:])
        self._asked = [p for p in named_ones[1:] if p.name not in _OFFERED]
        self._asks_messages = self._takes_all or any(p.name == "messages" for p in named_ones)
        self.__signature__ = self._signature()

    def _signature(self) -> inspect.Signature:
        """Return how core is to call this: it reads the columns that the data must have from it."""
        position = inspect.Parameter.POSITIONAL_OR_KEYWORD
        first = [inspect.Parameter("infer_requests", position)]
        truths = [inspect.Parameter("ground_truths", position)] if self._asks_truths else []
        columns = [inspect.Parameter(p.name, p.KEYWORD_ONLY, default=p.default) for p in self._asked]
        rest = [inspect.Parameter("columns", inspect.Parameter.VAR_KEYWORD)] if self._takes_all else []
        return inspect.Signature([*first, *truths, *columns, *rest])

    def __call__(
        self, infer_requests: Sequence[reward.InferRequest], /, *ground_truths: Sequence[Any], **columns: Any
    ) -> Any:
        """Return one score per answer."""
        told = dict(columns)
        if self._asks_truths:
            told["ground_truths"] = list(ground_truths[0])
        if self._asks_messages and "messages" not in told:
            told["messages"] = [[dict(turn) for turn in request.messages] for request in infer_requests]
        if self._first == "completions":
            return self._reward([request.response for request in infer_requests], **told)
        return self._reward(requests_of(infer_requests), **told)


def requests_of(infer_requests: Sequence[reward.InferRequest]) -> list[InferRequest]:
    """Return the requests in the form of ms-swift; the last turn of each is the answer."""
    return [InferRequest(messages=_with_answer(request)) for request in infer_requests]


def _with_answer(request: reward.InferRequest) -> list[dict[str, Any]]:
    turns = [dict(turn) for turn in request.messages]
    if not turns or turns[-1].get("role") != "assistant":
        turns.append({"role": "assistant", "content": request.response})
    return turns


def adapted(plugin: Any, spec: PluginSpec) -> type:
    """Return the reward as ours."""
    return named(_Reward, plugin)
