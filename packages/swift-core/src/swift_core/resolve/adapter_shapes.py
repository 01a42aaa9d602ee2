"""The shapes of what the first-party adapters train, from those of the model; no torch and no peft.

Of a linear layer with weights of [out, in] and rank r:

    lora       A [r, in], B [out, r]
    dora       the same, and magnitudes [out]
    adalora    the same as lora, and singular values [r, 1]
    vera       b [out], d [r]; the matrices between them are drawn and frozen
    ia3        a factor for each output, [out, 1], or for each input of a feed-forward layer, [1, in]
    prompt     [tokens, hidden]
    prefix     [tokens, layers * 2 * key width]
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from swift_core.resolve.model_facts import ModelFacts

    Shapes = dict[str, tuple[int, ...]]

_NO_LINEAR = ("embed", "wte", "wpe", "lm_head", "embed_out", "norm", "ln_")
_INPUTS_FIRST = ("gpt2", "openai-gpt")
"""Types of models whose linear layers store [in, out]."""


def _lora(options: Mapping[str, Any], facts: ModelFacts) -> Shapes:
    rank = int(options["lora_rank"])
    return _low_rank(rank, options, facts) | _saved_whole(options, facts)


def _dora(options: Mapping[str, Any], facts: ModelFacts) -> Shapes:
    magnitudes = {
        f"{module}.lora_magnitude_vector": (outputs,)
        for module, outputs, _ in _targets(facts, options["target_modules"])
    }
    return _lora(options, facts) | magnitudes


def _adalora(options: Mapping[str, Any], facts: ModelFacts) -> Shapes:
    rank = int(options["init_r"])
    values = {f"{module}.lora_E": (rank, 1) for module, _, _ in _targets(facts, options["target_modules"])}
    return _low_rank(rank, options, facts) | values | _saved_whole(options, facts)


def _vera(options: Mapping[str, Any], facts: ModelFacts) -> Shapes:
    shapes: Shapes = {}
    for module, outputs, _ in _targets(facts, options["target_modules"]):
        shapes |= {f"{module}.vera_lambda_b": (outputs,), f"{module}.vera_lambda_d": (int(options["vera_rank"]),)}
    return shapes | _saved_whole(options, facts)


def _ia3(options: Mapping[str, Any], facts: ModelFacts) -> Shapes:
    shapes: Shapes = {}
    for module, outputs, inputs in _targets(facts, options["target_modules"]):
        scales_inputs = any(_ends_with(module, ending) for ending in options["feedforward_modules"])
        shapes[f"{module}.ia3_l"] = (1, inputs) if scales_inputs else (outputs, 1)
    return shapes | _saved_whole(options, facts)


def _prompt(options: Mapping[str, Any], facts: ModelFacts) -> Shapes:
    return {"prompt_encoder.embedding.weight": (int(options["num_virtual_tokens"]), _hidden(facts))}


def _prefix(options: Mapping[str, Any], facts: ModelFacts) -> Shapes:
    heads = facts.number("num_attention_heads", "n_head") or 1
    width = facts.number("head_dim") or _hidden(facts) // heads
    keys = width * (facts.number("num_key_value_heads") or heads)
    layers = facts.number("num_hidden_layers", "n_layer")
    return {"prompt_encoder.embedding.weight": (int(options["num_virtual_tokens"]), layers * 2 * keys)}


SHAPES: dict[str, Callable[[Mapping[str, Any], ModelFacts], Shapes]] = {
    "lora": _lora,
    "qlora": _lora,
    "dora": _dora,
    "adalora": _adalora,
    "vera": _vera,
    "ia3": _ia3,
    "prompt": _prompt,
    "prefix": _prefix,
}
"""First-party adapters -> the shapes of a new one."""


def saved_numbers(options: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], facts: ModelFacts) -> int:
    """Return how many numbers the adapter's file holds: what is trained, and what is needed beside it.

    Args:
        options: Of the tuner, all of them.
        shapes: Of what it trains.
        facts: Of the model.
    """
    numbers: int = sum(map(math.prod, shapes.values()))
    if options.get("init_lora_weights") in ("pissa", "olora"):  # saved as the difference from what they began as
        return numbers + sum(math.prod(shape) for key, shape in shapes.items() if ".lora_" in key)
    if any(key.endswith(".vera_lambda_b") for key in shapes):  # the drawn matrices that all layers share
        _, outputs, inputs = zip(*_targets(facts, options["target_modules"]), strict=True)
        numbers += int(options["vera_rank"]) * (max(outputs) + max(inputs))
    return numbers


def _low_rank(rank: int, options: Mapping[str, Any], facts: ModelFacts) -> Shapes:
    shapes: Shapes = {}
    for module, outputs, inputs in _targets(facts, options["target_modules"]):
        shapes |= {f"{module}.lora_A.weight": (rank, inputs), f"{module}.lora_B.weight": (outputs, rank)}
    return shapes


def _saved_whole(options: Mapping[str, Any], facts: ModelFacts) -> Shapes:
    saved: Sequence[str] = options.get("modules_to_save") or ()
    return {
        f"{name}.saved": shape
        for name, shape in facts.shapes.items()
        if name.removesuffix(".weight")
        .removesuffix(".bias")
        .endswith(tuple(saved))  # as peft: `norm` is also a layernorm
    }


def _targets(facts: ModelFacts, targets: object) -> Iterator[tuple[str, int, int]]:
    """Yield (module, outputs, inputs) of every module that `targets` means."""
    inputs_first = facts.config.get("model_type") in _INPUTS_FIRST
    for name, shape in facts.shapes.items():
        module = name.removesuffix(".weight")
        if len(shape) == 2 and module != name and _is_target(module, targets):
            yield (module, shape[1], shape[0]) if inputs_first else (module, shape[0], shape[1])


def _is_target(module: str, targets: object) -> bool:
    last = module.rpartition(".")[2]
    if targets == "all-linear":
        return not any(part in last for part in _NO_LINEAR)
    if isinstance(targets, str):
        return re.fullmatch(targets, module) is not None
    return isinstance(targets, (list, tuple)) and any(_ends_with(module, str(target)) for target in targets)


def _ends_with(module: str, ending: str) -> bool:
    return module == ending or module.endswith(f".{ending}")


def _hidden(facts: ModelFacts) -> int:
    return facts.number("hidden_size", "n_embd", "d_model")
