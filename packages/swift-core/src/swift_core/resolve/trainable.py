"""How many weights a tuner trains, counted from the shapes of the model without loading it."""

from __future__ import annotations

import math
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from swift_core.contracts.handover import PartPlan
    from swift_core.resolve.model_facts import ModelFacts

_NO_LINEAR = ("embed", "wte", "wpe", "lm_head", "embed_out", "norm", "ln_")


def count_trainable(tuner: PartPlan, facts: ModelFacts) -> int | None:
    """Return the number of trained weights, or None for a tuner whose count is not known before it is applied."""
    shapes = trained_shapes(tuner, facts)
    return None if shapes is None else sum(map(math.prod, shapes.values()))


def trained_shapes(tuner: PartPlan, facts: ModelFacts) -> dict[str, tuple[int, ...]] | None:
    """Return the shapes of the trained parameters by name; None for a tuner that this is not known of."""
    if not tuner.plugin.first_party or not facts.shapes:
        return None
    return _SHAPES[tuner.plugin.name](tuner, facts) if tuner.plugin.name in _SHAPES else None


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


def _options(tuner: PartPlan) -> dict[str, Any]:
    return {option.name: option.default for option in tuner.source.options} | dict(tuner.options)


def _full_shapes(tuner: PartPlan, facts: ModelFacts) -> dict[str, tuple[int, ...]]:
    chosen = _options(tuner)
    patterns = chosen["trainable"] or [], chosen["freeze"] or []
    return {name: shape for name, shape in facts.shapes.items() if is_chosen(name, *patterns)}


def _dora_shapes(tuner: PartPlan, facts: ModelFacts) -> dict[str, tuple[int, ...]] | None:
    shapes = _lora_shapes(tuner, facts)
    if shapes is None:
        return None
    ending = ".lora_B.weight"
    magnitudes = {name: (shape[0],) for name, shape in shapes.items() if name.endswith(ending)}
    return shapes | {f"{name.removesuffix(ending)}.lora_magnitude_vector": size for name, size in magnitudes.items()}


def _lora_shapes(tuner: PartPlan, facts: ModelFacts) -> dict[str, tuple[int, ...]] | None:
    options = _options(tuner)
    rank, targets = options.get("lora_rank"), options.get("target_modules")
    if not isinstance(rank, int) or options.get("adapter"):  # an adapter that goes on has a rank of its own
        return None
    shapes: dict[str, tuple[int, ...]] = {}
    for module, (rows, columns) in _linear(facts):
        if _is_target(module, targets):
            shapes |= {f"{module}.lora_A.weight": (rank, columns), f"{module}.lora_B.weight": (rows, rank)}
    saved = options.get("modules_to_save") or []
    for name, shape in facts.shapes.items():
        if any(_ends_with(name.removesuffix(".weight").removesuffix(".bias"), module) for module in saved):
            shapes[f"{name}.saved"] = shape
    return shapes


def _linear(facts: ModelFacts) -> Iterator[tuple[str, tuple[int, ...]]]:
    for name, shape in facts.shapes.items():
        if len(shape) == 2 and name.endswith(".weight"):
            yield name.removesuffix(".weight"), shape


def _is_target(module: str, targets: object) -> bool:
    last = module.rpartition(".")[2]
    if targets == "all-linear":
        return not any(part in last for part in _NO_LINEAR)
    if isinstance(targets, str):
        return re.fullmatch(targets, module) is not None
    return isinstance(targets, (list, tuple)) and any(_ends_with(module, str(target)) for target in targets)


def _ends_with(module: str, ending: str) -> bool:
    return module == ending or module.endswith(f".{ending}")


_SHAPES = {"full": _full_shapes, "lora": _lora_shapes, "qlora": _lora_shapes, "dora": _dora_shapes}
"""First-party tuners whose trained shapes follow from those of the model."""
