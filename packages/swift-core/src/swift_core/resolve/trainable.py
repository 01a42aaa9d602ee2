"""How many weights a tuner trains, counted from the shapes of the model without loading it."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from swift_core.resolve.adapter_shapes import SHAPES, saved_numbers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from swift_core.contracts.handover import PartPlan
    from swift_core.resolve.model_facts import ModelFacts


PART = "part:"
"""What a pattern begins with that names a part of a model: `part:vision`."""


def count_trainable(tuner: PartPlan, facts: ModelFacts) -> int | None:
    """Return the number of trained weights, or None for a tuner whose count is not known before it is applied."""
    shapes = trained_shapes(tuner, facts)
    return None if shapes is None else sum(map(math.prod, shapes.values()))


def trained_shapes(tuner: PartPlan, facts: ModelFacts) -> dict[str, tuple[int, ...]] | None:
    """Return the shapes of the trained parameters by name; None for a tuner that this is not known of."""
    if not tuner.plugin.first_party or not facts.shapes:
        return None
    options = options_of(tuner)
    if any(PART in str(value) for value in options.values()):  # only the live model tells its parts
        return None
    if options.get("adapter") or tuner.plugin.name not in _SHAPES:  # an adapter that goes on has a shape of its own
        return None
    return _SHAPES[tuner.plugin.name](options, facts)


def saved_bytes(tuner: PartPlan, facts: ModelFacts) -> int | None:
    """Return the bytes of the adapter's tensors as it is saved, in float32; None where they are not known."""
    shapes = trained_shapes(tuner, facts)
    if shapes is None or not tuner.source.declared.get("trains_adapter"):
        return None
    return 4 * saved_numbers(options_of(tuner), shapes, facts)


def head_weights(facts: ModelFacts, head: str, num_labels: int) -> int:
    """Return the weights of a classification head that is trained, less those of a language model's that it replaces.

    Args:
        facts: Of the model.
        head: What the procedure declares as `model_head`.
        num_labels: Outputs of the head; 0 where the model keeps its own.
    """
    if not num_labels:
        return 0
    replaced = math.prod(facts.shapes.get("lm_head.weight", (0,)))
    drawn = num_labels * facts.number("hidden_size", "n_embd", "d_model")
    is_stored = any(name.startswith(("score.", "classifier.")) for name in facts.shapes)
    return (0 if is_stored else drawn + num_labels * (head == "token_classification")) - replaced


def fits(name: str, pattern: str) -> bool:
    """Say whether `pattern` fits: with `*`, `?` or `[` a glob over the whole name, else a part of it."""
    return fnmatchcase(name, pattern) if set(pattern) & set("*?[") else pattern in name


def is_chosen(name: str, trainable: Sequence[str], freeze: Sequence[str]) -> bool:
    """Say whether a parameter is trained: one that `trainable` names, or any when it is empty, and not frozen."""
    named = not trainable or any(fits(name, pattern) for pattern in trainable)
    return named and not any(fits(name, pattern) for pattern in freeze)


def options_of(tuner: PartPlan) -> dict[str, Any]:
    """Return the options of a part, those of the run file over the defaults."""
    return {option.name: option.default for option in tuner.source.options} | dict(tuner.options)


def _full_shapes(chosen: Mapping[str, Any], facts: ModelFacts) -> dict[str, tuple[int, ...]]:
    patterns = chosen["trainable"] or [], chosen["freeze"] or []
    return {name: shape for name, shape in facts.shapes.items() if is_chosen(name, *patterns)}


_SHAPES = {"full": _full_shapes, **SHAPES}
"""First-party tuners whose trained shapes follow from those of the model."""
