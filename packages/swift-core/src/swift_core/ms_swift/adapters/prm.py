"""A process reward of ms-swift: `(infer_requests, ground_truths)` -> scores, by its call or an older `infer`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.ms_swift.adapters._made import made, named
from swift_core.ms_swift.adapters.orm import requests_of
from swift_core.ms_swift.arguments import accepted
from swift_core.ms_swift.support import ChatCompletionResponse

if TYPE_CHECKING:
    from swift_core.contracts.plugin import PluginSpec
    from swift_core.contracts.reward import InferRequest


class _StepReward:
    """Calls a process reward and takes its answers apart."""

    plugin: ClassVar[Any]

    def __init__(self, *, arguments: dict[str, Any] | None = None) -> None:
        built = made(self.plugin, arguments)
        self._score = built if callable(built) else built.infer

    def __call__(
        self, infer_requests: Sequence[InferRequest], ground_truths: Sequence[Any] = (), **columns: Any
    ) -> list[Any]:
        """Return the scores of each answer, or of each of its steps."""
        offered = {**columns, "ground_truths": list(ground_truths) or [None] * len(infer_requests)}
        return [_number(score) for score in self._score(requests_of(infer_requests), **accepted(self._score, offered))]


def _number(score: Any) -> Any:
    """Return what a response of an older process reward says; anything else is the score."""
    return score.choices[0].message.content if isinstance(score, ChatCompletionResponse) else score


def adapted(plugin: Any, spec: PluginSpec) -> type:
    """Return the process reward as ours."""
    return named(_StepReward, plugin)
