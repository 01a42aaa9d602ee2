"""A loss of ms-swift: `(outputs, labels, num_items_in_batch, loss_scale, ...)` -> a scalar, as function or class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.ms_swift.adapters._made import Late, named
from swift_core.ms_swift.arguments import accepted

if TYPE_CHECKING:
    from torch import Tensor

    from swift_core.contracts.loss import TokenOutputs
    from swift_core.contracts.plugin import PluginSpec


class _Loss:
    """Gives the loss the number of items of its own micro-batch.

    Whether it divides by that number or takes a mean by itself, what it returns is then the mean of its micro-batch, of
    which core forms the mean over the step.
    """

    plugin: ClassVar[Any]

    def __init__(self, *, arguments: dict[str, Any] | None = None) -> None:
        self._late = Late(self.plugin, arguments)

    def attach(self, trainer: Any) -> None:
        """Take the run's trainer, which the plugin may read."""
        self._late.attach(trainer)

    def __call__(self, outputs: TokenOutputs, labels: Tensor, *, loss_scale: Tensor | None = None) -> Tensor:
        """Return the mean loss of the micro-batch."""
        context: Mapping[str, Any] = {
            "num_items_in_batch": (labels[:, 1:] != -100).sum(),
            "loss_scale": loss_scale,
            "trainer": self._late.trainer,
        }
        plugin = self._late.built or self._late.retry()
        loss: Tensor = plugin(outputs, labels, **accepted(plugin, context))
        return loss


def adapted(plugin: Any, spec: PluginSpec) -> type:
    """Return the loss as ours."""
    return named(_Loss, plugin)
