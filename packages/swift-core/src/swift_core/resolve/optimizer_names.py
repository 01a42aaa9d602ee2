"""Names of optimizers that users bring from transformers' `optim`. `swift plan` shows what they mean here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swift_core.resolve.parts import PartFinder

OPTIMIZER_ALIASES = {
    "adamw_8bit": "adamw8bit",
    "adamw_bnb_8bit": "adamw8bit",
    "adamw_torch": "adamw",
    "adamw_torch_8bit": "adamw8bit",
    "adamw_torch_fused": "adamw",
    "apollo_adamw": "apollo",
    "apollo_adamw_layerwise": "apollo",
    "galore_adafactor_layerwise": "galore_adafactor",
    "galore_adamw_8bit": "galore_adamw8bit",
    "galore_adamw_8bit_layerwise": "galore_adamw8bit",
    "galore_adamw_layerwise": "galore_adamw",
    "lion_32bit": "lion",
    "paged_ademamix_32bit": "ademamix",
    "paged_adamw_32bit": "adamw",
    "paged_adamw_8bit": "adamw8bit",
    "paged_lion_32bit": "lion",
}
"""Name elsewhere -> name of the optimizer here."""

_LAYERWISE = "set train.update_in_backward: true, which is what layerwise does"
_UNPAGED = "states are not paged out of a GPU's memory"

DIFFERENCES = {
    "adamw_bnb_8bit": "on a CPU its codes are not those of bitsandbytes",
    "adamw_8bit": "on a CPU its codes are not those of bitsandbytes",
    "apollo_adamw_layerwise": _LAYERWISE,
    "galore_adafactor_layerwise": _LAYERWISE,
    "galore_adamw_8bit_layerwise": _LAYERWISE,
    "galore_adamw_layerwise": _LAYERWISE,
    "paged_adamw_32bit": _UNPAGED,
    "paged_adamw_8bit": _UNPAGED,
    "paged_ademamix_32bit": _UNPAGED,
    "paged_lion_32bit": _UNPAGED,
}
"""What a user of the name elsewhere should know."""

_ON_GPU = "it is a kernel of bitsandbytes for GPUs"

REFUSED = {
    "adagrad": ("its learning rate only falls, and no stage here trains that way", "sgd, adafactor"),
    "adamw_anyprecision": ("its package torchdistx is no longer made", "adamw, native_adamw"),
    "adamw_torch_4bit": ("it compiles a kernel of torchao for each shape, for GPUs", "adamw8bit, q_galore"),
    "adamw_torch_npu_fused": ("it is a kernel for Ascend NPUs", "adamw"),
    "adamw_torch_xla": ("it is for XLA devices", "adamw"),
    "ademamix_8bit": (_ON_GPU, "ademamix"),
    "grokadamw": ("it needs a function of the training signal that a run file cannot name", "adamw, ademamix"),
    "lion_8bit": (_ON_GPU, "lion"),
    "paged_ademamix_8bit": (_ON_GPU, "ademamix"),
    "paged_lion_8bit": (_ON_GPU, "lion"),
    "rmsprop": ("it is AdamW without momentum and correction", "adamw with betas: [0.0, 0.99]"),
    "rmsprop_bnb": (_ON_GPU, "adamw with betas: [0.0, 0.99]"),
    "rmsprop_bnb_32bit": (_ON_GPU, "adamw with betas: [0.0, 0.99]"),
    "rmsprop_bnb_8bit": (_ON_GPU, "adamw8bit with betas: [0.0, 0.99]"),
    "schedule_free_radam": ("warm-up does what its rectification does", "schedule_free_adamw with train.warmup_steps"),
    "schedule_free_sgd": ("language models are not trained with it", "schedule_free_adamw"),
}
"""Name elsewhere that is not here -> why, and what is."""


def optimizer_meant(finder: PartFinder, key: str, name: str) -> str | None:
    """Return the optimizer that `name` at `key` means, with a note; None after keeping the problem that it is refused.

    An installed optimizer of that very name comes first.
    """
    if any(spec.name == name for spec in finder.registry.specs("optimizer")):
        return name
    if name in REFUSED:
        reason, instead = REFUSED[name]
        finder.findings.wrong("not-here", f"{name!r} is not here: {reason}", key, f"take {instead}")
        return None
    meant = OPTIMIZER_ALIASES.get(name)
    if meant is None:
        return name
    difference = f"; {DIFFERENCES[name]}" if name in DIFFERENCES else ""
    finder.findings.note(f"{key}: {name} means {meant}{difference}")
    return meant
