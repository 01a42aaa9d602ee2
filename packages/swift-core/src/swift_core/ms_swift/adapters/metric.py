"""A metric of ms-swift: a pair `(compute_metrics, preprocess_logits)`, or a class with both as methods."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from swift_core.ms_swift.adapters._made import made, named

if TYPE_CHECKING:
    from torch import Tensor

    from swift_core.contracts.metric import Predictions
    from swift_core.contracts.plugin import PluginSpec

_PADDING = -100


class _Metric:
    """Keeps what the plugin makes of logits, and hands all of it over at the end as transformers does."""

    plugin: ClassVar[Any]
    eats: ClassVar[Literal["predictions"]] = "predictions"

    def __init__(self, *, arguments: dict[str, Any] | None = None) -> None:
        if inspect.isclass(self.plugin):
            built = made(self.plugin, arguments)
            compute, reduce = built.compute_metrics, getattr(built, "preprocess_logits_for_metrics", None)
        else:
            compute, reduce = self.plugin if isinstance(self.plugin, tuple) else (self.plugin, None)
        if reduce is None:
            raise ValueError("arguments: without a function that reduces logits a metric would keep them all")
        self._compute: Any = compute
        self._reduce: Any = reduce

    def preprocess_logits(self, logits: Tensor, labels: Tensor, /) -> Tensor:
        """Return what the plugin keeps of one batch."""
        kept: Tensor = self._reduce(logits, labels)
        return kept

    def compute(self, evaluation: Predictions, /) -> dict[str, float]:
        """Return the figures of all batches; shorter ones are padded with -100 as transformers pads them."""
        from transformers import EvalPrediction

        predictions, labels = _joined(evaluation.values), _joined(evaluation.labels)
        figures: Mapping[str, Any] = self._compute(EvalPrediction(predictions=predictions, label_ids=labels))
        return {str(name): float(value) for name, value in figures.items()}


def _joined(batches: Any) -> Any:
    """Return batches of [row, time, ...] as one array."""
    import numpy as np

    arrays = [np.atleast_1d(batch.float().numpy() if batch.is_floating_point() else batch.numpy()) for batch in batches]
    if arrays[0].ndim < 2:
        return np.concatenate(arrays)
    longest = max(array.shape[1] for array in arrays)
    return np.concatenate([_padded(array, longest) for array in arrays])


def _padded(array: Any, length: int) -> Any:
    import numpy as np

    widths = [(0, 0), (0, length - array.shape[1]), *[(0, 0)] * (array.ndim - 2)]
    return np.pad(array, widths, constant_values=_PADDING)


def adapted(plugin: Any, spec: PluginSpec) -> type:
    """Return the metric as ours."""
    return named(_Metric, plugin) if callable(plugin) else type("Pair", (_Metric,), {"plugin": tuple(plugin)})
