"""A weighted sum of losses on pairs, each named with its options.

    loss = sum over k of weight_k * loss_k

The default is mixed preference optimisation (MPO): 0.8 dpo + 0.2 bco_pair + 1.0 chosen_nll. Wang et al., 2024,
arXiv:2411.10442. Iterative reasoning preference optimisation (RPO; Pang et al., 2024, arXiv:2404.19733) is dpo with
chosen_nll.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.plugin_api import LossOutput, LossTerm, PairOutputs, build_term

if TYPE_CHECKING:
    from torch import Tensor


def _mpo() -> list[LossTerm]:
    weights = {"dpo": 0.8, "bco_pair": 0.2, "chosen_nll": 1.0}
    return [LossTerm(name=name, weight=weight) for name, weight in weights.items()]


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Which losses are added up, and with what weights.

    It has no slots, because an instance needs what its terms need.
    """

    losses: list[LossTerm] = field(default_factory=_mpo)
    """The terms: each a `name`, a `weight` and `kwargs`. MPO when left out."""

    _live: tuple[Any, ...] = field(init=False, repr=False, compare=False)

    needs_reference: ClassVar[bool] = True
    needs_columns: ClassVar[tuple[str, ...]] = ()
    couples_items: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.losses:
            raise ValueError("losses must name one loss or more, got an empty list")
        if not any(term.weight for term in self.losses):
            raise ValueError("losses must have a weight > 0 among them, got only 0")
        live = tuple(build_term(term) for term in self.losses)
        columns = dict.fromkeys(column for loss in live for column in getattr(loss, "needs_columns", ()))
        object.__setattr__(self, "_live", live)
        object.__setattr__(self, "needs_reference", any(getattr(loss, "needs_reference", False) for loss in live))
        object.__setattr__(self, "couples_items", any(getattr(loss, "couples_items", False) for loss in live))
        object.__setattr__(self, "needs_columns", tuple(columns))

    def __call__(self, pairs: PairOutputs) -> LossOutput:
        """Return one loss per pair, with the metrics of the first term and the loss of each: `loss_1_dpo`.

        Raises:
            ValueError: When a term weighs its pairs, or returns their mean: then there is nothing to add up.
        """
        outputs = [self._output(term, live, pairs) for term, live in zip(self.losses, self._live, strict=True)]
        weighted: list[Tensor] = [
            term.weight * output.losses for term, output in zip(self.losses, outputs, strict=True)
        ]
        each = {f"loss_{place}_{self.losses[place - 1].name}": o.losses for place, o in enumerate(outputs, 1)}
        return LossOutput(sum(weighted[1:], start=weighted[0]), metrics={**outputs[0].metrics, **each})

    def _output(self, term: LossTerm, live: Any, pairs: PairOutputs) -> LossOutput:
        output = live(pairs)
        if not isinstance(output, LossOutput) or output.weights is not None:
            raise ValueError(f"the loss {term.name!r} does not return one unweighted loss per pair: it cannot be mixed")
        return output
