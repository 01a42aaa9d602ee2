"""Squared error on numbers: a head with one output learns a number for each text.

loss = (logit - y)^2
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swift_core.plugin_api import ClassOutputs, LossOutput
from swift_loss_zoo.classify._labels import are_numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSquaredError:
    """Regression by least squares."""

    needs_reference: ClassVar[bool] = False
    learns_numbers: ClassVar[bool] = True

    def __call__(self, outputs: ClassOutputs) -> LossOutput:
        """Return one loss per text, with its absolute error."""
        if not are_numbers(outputs.labels):
            raise ValueError("the labels are classes, not numbers; class_cross_entropy learns classes")
        error = outputs.logits.squeeze(-1) - outputs.labels
        return LossOutput(error**2, metrics={"absolute_error": error.abs()})
