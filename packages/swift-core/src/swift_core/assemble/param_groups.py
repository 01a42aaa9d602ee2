"""Parameter groups: biases and norms without decay, and what the run file says of layers and modules.

lr of a group = lr * lr_scale * the tuner's scale * layer_lr_decay^depth

depth is 0 for the head, 1 for the last layer, and so on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_core.assemble.vision.model_parts import parts_of
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch

    from swift_core.contracts.handover import RunPlan
    from swift_core.contracts.settings import ParamGroupRef

_LAYER = re.compile(r"\.(?:layers?|h|blocks?)\.(\d+)\.")
_BELOW_ALL = ("embed", "wte", "wpe")


@dataclass(frozen=True, slots=True)
class _Kind:
    """What parameters of one group have in common."""

    rule: int
    depth: int
    scale: float
    """What the tuner makes of the learning rate."""

    decays: bool


def groups_of(
    plan: RunPlan, model: torch.nn.Module, options: Mapping[str, Any], tuner: Any = None
) -> list[dict[str, Any]]:
    """Return the parameter groups of what is trained of `model`.

    Args:
        plan: The run.
        model: The model, with the tuner applied.
        options: Of the optimizer, for all groups.
        tuner: One with `lr_scale` or `decays` has a say on its own parameters.

    Raises:
        SwiftError: An entry of `train.param_groups` fits no trained parameter.
    """
    train = plan.settings.train
    decay, lr = float(options.get("weight_decay", train.weight_decay)), float(options.get("lr", train.learning_rate))
    try:
        groups = parameter_groups(
            model, decay, lr=lr, rules=train.param_groups, layer_lr_decay=train.layer_lr_decay, tuner=tuner
        )
    except ValueError as error:
        place = plan.config.place("train.param_groups")
        raise SwiftError(Problem("wrong-option", f"train.param_groups: {error}", place)) from error
    unused = set(range(len(train.param_groups))) - {group.pop("rule") for group in groups}
    if unused and groups:
        raise SwiftError(
            Problem(
                "unused-key",
                f"train.param_groups.{index} fits no trained parameter: {train.param_groups[index].modules}",
                plan.config.place(f"train.param_groups.{index}.modules"),
                "patterns are parts of parameter names, or globs over whole names",
            )
            for index in sorted(unused)
        )
    return groups


def parameter_groups(
    model: torch.nn.Module,
    weight_decay: float,
    *,
    lr: float = 0.0,
    rules: Sequence[ParamGroupRef] = (),
    layer_lr_decay: float = 1.0,
    tuner: Any = None,
) -> list[dict[str, Any]]:
    """Return what is trained of `model`: matrices with decay, then biases and norms (one dimension or none) without.

    A group without parameters is left out; `param_names` are those of `model.named_parameters()`, in its order. `rule`
    is the entry of `rules` that a group fits, -1 for none; a group has `lr` where it is not the common one.
    """
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    fits = parts_of(model, [pattern for rule in rules for pattern in _patterns(rule)]).fits if rules else None
    depths = _depths([name for name, _ in trained]) if layer_lr_decay < 1 else {}
    kinds: dict[_Kind, list[tuple[str, torch.nn.Parameter]]] = {}
    for name, parameter in trained:
        scale = float(tuner.lr_scale(name)) if hasattr(tuner, "lr_scale") else 1.0
        decays = parameter.ndim >= 2 and not (hasattr(tuner, "decays") and not tuner.decays(name))
        kind = _Kind(_rule(name, rules, fits), depths.get(name, 0), scale, decays)
        kinds.setdefault(kind, []).append((name, parameter))
    groups = []
    for kind in sorted(kinds, key=lambda kind: (kind.rule, kind.depth, kind.scale, not kind.decays)):
        group: dict[str, Any] = {
            "params": [parameter for _, parameter in kinds[kind]],
            "param_names": [name for name, _ in kinds[kind]],
            "weight_decay": weight_decay if kind.decays else 0.0,
            "rule": kind.rule,
        }
        scale = kind.scale * layer_lr_decay**kind.depth * (rules[kind.rule].lr_scale if kind.rule >= 0 else 1.0)
        if scale != 1.0:
            group["lr"] = lr * scale
        groups.append(group | (dict(rules[kind.rule].kwargs) if kind.rule >= 0 else {}))
    return groups


def _rule(name: str, rules: Sequence[ParamGroupRef], fits: Callable[[str, str], bool] | None) -> int:
    """Return the number of the first rule that fits, or -1."""
    for number, rule in enumerate(rules):
        if fits is not None and any(fits(name, pattern) for pattern in _patterns(rule)):
            return number
    return -1


def _patterns(rule: ParamGroupRef) -> Sequence[str]:
    return [rule.modules] if isinstance(rule.modules, str) else rule.modules


def _depths(names: Sequence[str]) -> dict[str, int]:
    """Return how far each parameter lies below the head and the last norm, in layers."""
    numbers = {name: int(found[1]) for name in names if (found := _LAYER.search(f".{name}"))}
    total = max(numbers.values(), default=-1) + 1
    return {name: total - numbers.get(name, -1 if _is_below(name) else total) for name in names}


def _is_below(name: str) -> bool:
    return any(part in name for part in _BELOW_ALL)
