"""Names of optimizers that users bring from transformers' `optim`. `swift plan` shows what they mean here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swift_core.contracts.handover import ValueOrigin

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swift_core.resolve.findings import Findings
    from swift_core.resolve.parts import PartFinder
    from swift_core.resolve.shorthands import OptionSet

OPTIMIZER_ALIASES = {
    "adamw_8bit": "adamw8bit",
    "adamw_anyprecision": "native_adamw",
    "adamw_bnb_8bit": "adamw8bit",
    "adamw_torch": "adamw",
    "adamw_torch_4bit": "adamw8bit",
    "adamw_torch_8bit": "adamw8bit",
    "adamw_torch_fused": "adamw",
    "adamw_torch_npu_fused": "adamw",
    "adamw_torch_xla": "adamw",
    "ademamix_8bit": "ademamix",
    "apollo_adamw": "apollo",
    "apollo_adamw_layerwise": "apollo",
    "galore_adafactor_layerwise": "galore_adafactor",
    "galore_adamw_8bit": "galore_adamw8bit",
    "galore_adamw_8bit_layerwise": "galore_adamw8bit",
    "galore_adamw_layerwise": "galore_adamw",
    "lion_32bit": "lion",
    "lion_8bit": "native_lion",
    "paged_ademamix_32bit": "ademamix",
    "paged_ademamix_8bit": "ademamix",
    "paged_adamw_32bit": "adamw",
    "paged_adamw_8bit": "adamw8bit",
    "paged_lion_32bit": "lion",
    "paged_lion_8bit": "native_lion",
    "rmsprop_bnb": "rmsprop",
    "rmsprop_bnb_32bit": "rmsprop",
    "rmsprop_bnb_8bit": "rmsprop",
}
"""Name elsewhere -> name of the optimizer here."""

OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "adamw_anyprecision": {"moments": "bf16"},
    "lion_8bit": {"moments": "8bit"},
    "paged_lion_8bit": {"moments": "8bit"},
}
"""Name elsewhere -> options that it means beside; what the run file says wins."""

_LAYERWISE = "set train.update_in_backward: true, which is what layerwise does"
_UNPAGED = "states are not paged out of a GPU's memory"
_WIDE = "states are float32 here"
_OF_CPU = "the kernel is for CPUs"
_SAME = "the kernel is torch's for the device of the run"

DIFFERENCES = {
    "adamw_anyprecision": "its Kahan summation is train.optimizer_kwargs.rounding: kahan",
    "adamw_bnb_8bit": "on a CPU its codes are not those of bitsandbytes",
    "adamw_torch_4bit": "states are of 8 bits here, not of 4",
    "adamw_torch_npu_fused": _SAME,
    "adamw_torch_xla": _SAME,
    "ademamix_8bit": _WIDE,
    "adamw_8bit": "on a CPU its codes are not those of bitsandbytes",
    "apollo_adamw_layerwise": _LAYERWISE,
    "galore_adafactor_layerwise": _LAYERWISE,
    "galore_adamw_8bit_layerwise": _LAYERWISE,
    "galore_adamw_layerwise": _LAYERWISE,
    "paged_adamw_32bit": _UNPAGED,
    "paged_adamw_8bit": _UNPAGED,
    "paged_ademamix_32bit": _UNPAGED,
    "lion_8bit": _OF_CPU,
    "paged_ademamix_8bit": f"{_WIDE}, and not paged",
    "paged_lion_32bit": _UNPAGED,
    "paged_lion_8bit": _OF_CPU,
    "rmsprop_bnb_8bit": _WIDE,
}
"""What a user of the name elsewhere should know."""


def optimizer_meant(finder: PartFinder, key: str, name: str) -> str:
    """Return the optimizer that `name` at `key` means, and keep a note where it has another name here.

    An installed optimizer of that very name comes first.
    """
    if any(spec.name == name for spec in finder.registry.specs("optimizer")):
        return name
    meant = OPTIMIZER_ALIASES.get(name)
    if meant is None:
        return name
    difference = f"; {DIFFERENCES[name]}" if name in DIFFERENCES else ""
    finder.findings.note(f"{key}: {name} means {meant}{difference}")
    return meant


def add_meant_options(findings: Findings, chosen: OptionSet) -> None:
    """Give the optimizer the options that its name from elsewhere means; what the run file says wins."""
    name = findings.config.settings.train.optimizer_type
    if chosen.looked.plugin.name != OPTIMIZER_ALIASES.get(name):
        return
    for option, value in OPTIONS.get(name, {}).items():
        if option not in chosen.options:
            chosen.options[option] = value
            chosen.origins[option] = ValueOrigin("chosen", findings.config.place("train.optimizer_type"), name)
