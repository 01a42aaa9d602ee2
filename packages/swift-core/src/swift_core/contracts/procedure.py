"""Procedures: how one stage of training turns parts into a trainer."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    from transformers import Trainer

    from swift_core.contracts.handover import Parts


class Procedure(Protocol):
    """A `swift.trainers` plugin: usually a `transformers.Trainer` subclass whose collator and forward are its own.

    What it declares stands in its class as literals: a plan reads them from the source, before torch is imported.
    """

    feeds: ClassVar[Literal["TokenOutputs", "PairOutputs"]]
    """Family of outputs that it gives to a loss."""

    rows: ClassVar[Literal["tokens", "pairs"]]
    """What a row of data is: `TokenRow` or `PairRow`."""

    default_loss: ClassVar[str]
    """Loss of `train.loss_type: auto`."""

    @classmethod
    def build(cls, parts: Parts, /) -> Trainer:
        """Return a trainer that is ready to train."""
