"""How many weights a tuner trains, counted from the shapes of the model without loading it."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swift_core.contracts.handover import PartPlan
    from swift_core.resolve.model_facts import ModelFacts

_NO_LINEAR = ("embed", "wte", "wpe", "lm_head", "embed_out", "norm", "ln_")


def count_trainable(tuner: PartPlan, facts: ModelFacts) -> int | None:
    """Return the number of trained weights, or None for a tuner whose count is not known before it is applied."""
    if not facts.shapes:
        return None
    if tuner.plugin.first_party and tuner.plugin.name == "full":
        return facts.num_parameters
    if tuner.plugin.first_party and tuner.plugin.name == "lora":
        return _lora(tuner, facts)
    return None


def trained_shapes(tuner: PartPlan, facts: ModelFacts) -> dict[str, tuple[int, ...]] | None:
    """Return the shapes of the trained parameters by name; None for a tuner that this is not known of."""
    if not tuner.plugin.first_party or not facts.shapes:
        return None
    if tuner.plugin.name == "full":
        return dict(facts.shapes)
    return _lora_shapes(tuner, facts) if tuner.plugin.name == "lora" else None


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


def _lora(tuner: PartPlan, facts: ModelFacts) -> int | None:
    shapes = _lora_shapes(tuner, facts)
    return None if shapes is None else sum(map(math.prod, shapes.values()))


def _lora_shapes(tuner: PartPlan, facts: ModelFacts) -> dict[str, tuple[int, ...]] | None:
    options = {option.name: option.default for option in tuner.source.options} | dict(tuner.options)
    rank, targets = options.get("lora_rank"), options.get("target_modules")
    if not isinstance(rank, int):
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
