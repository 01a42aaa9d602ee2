"""A loss scale of ms-swift: `get_loss_scale(context, context_type, is_last_round)`, or of an answer alone.

The third version asks for every piece of a conversation and decides what is trained; the fourth for answers only.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from swift_core.ms_swift.adapters._made import named
from swift_core.ms_swift.arguments import accepted
from swift_core.ms_swift.read import read
from swift_core.ms_swift.sources import asks_for_type

if TYPE_CHECKING:
    from swift_core.contracts.plugin import PluginSpec


class _LossScale:
    """Calls the loss scale with what it takes."""

    plugin: ClassVar[Any]
    decides: ClassVar[bool]
    """Whether it is of the third version."""

    def __init__(self, *, arguments: dict[str, Any] | None = None) -> None:
        self._scale: Any = self.plugin() if inspect.isclass(self.plugin) else self.plugin
        if getattr(self._scale, "loss_scale_config", None):
            raise ValueError(
                "its loss_scale_config names a file inside ms-swift; the loss scale `patterns` reads such files"
            )
        self._query: str | None = None

    def get_loss_scale(
        self, context: str, context_type: Literal["query", "response", "system", "other"], is_last_round: bool, /
    ) -> tuple[Sequence[str], Sequence[float]]:
        """Return the context in pieces, with their weights."""
        weigh = self._scale.get_loss_scale
        if context_type == "query":
            self._query = context
        if not self.decides:
            if context_type != "response":
                return [context], [1.0]
            pieces, weights = weigh(context, **accepted(weigh, {"query": self._query}))
            return pieces, weights
        kind = "response" if context_type == "response" else "other"
        pieces, weights = weigh(context, kind, is_last_round, **accepted(weigh, {"query": self._query}))
        return pieces, weights


def adapted(plugin: Any, spec: PluginSpec) -> type:
    """Return the loss scale as ours."""
    reading = read(spec.path, str(spec.path))  # type: ignore[arg-type]  # a file plugin has one
    decides = asks_for_type(reading, reading.registrations[spec.kind, spec.name].value)
    adapter = named(_LossScale, plugin) if inspect.isclass(plugin) else type("Scale", (_LossScale,), {"plugin": plugin})
    adapter.decides = decides  # type: ignore[attr-defined]
    return adapter
