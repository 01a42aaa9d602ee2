"""The tuner of a run: names from elsewhere, the weights it needs, and what it does not go with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from swift_core.contracts.handover import RunConfig, ValueOrigin
from swift_core.contracts.procedure import HEADS_IN_WORDS
from swift_core.resolve.parts import CHOSEN

if TYPE_CHECKING:
    from swift_core.contracts.handover import RunPlan
    from swift_core.resolve.findings import Findings
    from swift_core.resolve.parts import Looked, PartFinder
    from swift_core.resolve.shorthands import OptionSet

_KEY = "train.tuner_strategy"


class Meant(NamedTuple):
    """A tuner here, with options."""

    name: str
    options: dict[str, Any]

    def __str__(self) -> str:
        given = ", ".join(f"{name}: {value}" for name, value in self.options.items())
        return f"{self.name} with {given}" if given else self.name


ALIASES = {
    "freeze": Meant("full", {}),
    "ia3_tuning": Meant("ia3", {}),
    "lora+": Meant("lora", {"loraplus_lr_ratio": 16.0}),
    "loraplus": Meant("lora", {"loraplus_lr_ratio": 16.0}),
    "none": Meant("full", {}),
    "olora": Meant("lora", {"init_lora_weights": "olora"}),
    "pissa": Meant("lora", {"init_lora_weights": "pissa"}),
    "prefix_tuning": Meant("prefix", {}),
    "prompt_tuning": Meant("prompt", {}),
    "rslora": Meant("lora", {"use_rslora": True}),
}
"""Name elsewhere -> tuner here, with the options that it is."""

REFUSED = {
    "badam": "it is no tuner here; tuner full with freeze trains some layers",
    "bitfit": "write tuner full with trainable: ['*.bias']",
    "galore": "GaLore is an optimizer: write tuner full and optimizer_type: galore_adamw",
    "lisa": "it changes the trained layers while it runs, and optimizer states would not follow; lomo and galore_adamw "
    "also train all layers in little memory",
    "longlora": "its attention is not that of any model here; lora with a longer data.max_length trains long rows",
    "unsloth": "it is a set of kernels for other tuners; lora here multiplies in 16 bits by itself",
}
"""Names elsewhere that mean nothing here, and what to do instead."""


def find_tuner(finder: PartFinder) -> Looked | None:
    """Return the tuner that the run file means; keep a note for a name from elsewhere."""
    name = finder.config.settings.train.tuner_strategy
    if any(spec.name == name for spec in finder.registry.specs("tuner")):
        return finder.look("tuner", _KEY, name)
    if name in REFUSED:
        finder.findings.wrong("not-here", f"no tuner named {name!r}: {REFUSED[name]}", _KEY)
        return None
    if name in ALIASES:
        finder.findings.note(f"{_KEY}: {name} means {ALIASES[name]}")
    return finder.look("tuner", _KEY, ALIASES[name].name if name in ALIASES else name)


def add_meant_options(findings: Findings, chosen: OptionSet) -> None:
    """Give the tuner what its name from elsewhere means; what the run file says wins."""
    meant = ALIASES.get(findings.config.settings.train.tuner_strategy)
    if meant is None or chosen.looked.plugin.name != meant.name:
        return
    for name, value in meant.options.items():
        if name not in chosen.options:
            chosen.options[name] = value
            chosen.origins[name] = CHOSEN


def with_bits(config: RunConfig, tuner: Looked | None) -> RunConfig:
    """Return the config with the bits that the tuner's frozen weights are kept in, where it declares them."""
    bits = tuner.declared("quantization_bits") if tuner else None
    if not bits or config.settings.model.quantization_bit or "model.quantization_bit" in config.origins:
        return config
    assert tuner is not None  # it declared them
    model = replace(config.settings.model, quantization_bit=bits)
    place = config.place(_KEY)
    origin = ValueOrigin("chosen", place, f"tuner {tuner.plugin.name}")
    origins = {**config.origins, "model.quantization_bit": origin}
    return replace(config, settings=replace(config.settings, model=model), origins=origins)


def check_tuner(findings: Findings, plan: RunPlan) -> None:
    """Keep what the tuner declares that it does not go with."""
    declared, name = plan.tuner.source.declared, plan.tuner.plugin.name
    bits = declared.get("quantization_bits")
    if bits and not findings.config.settings.model.quantization_bit:
        message = f"the tuner {name!r} trains beside quantised weights, and model.quantization_bit is 0"
        findings.wrong("tuner-conflict", message, "model.quantization_bit", "remove the key, or write lora")
    head = str(plan.procedure.source.declared.get("model_head", "causal_lm"))
    heads = declared.get("heads", [head])
    if head not in heads:
        stage = plan.procedure.plugin.name
        message = f"the tuner {name!r} cannot be applied to {HEADS_IN_WORDS[head]}, which stage {stage!r} trains"
        findings.wrong("tuner-conflict", message, plan.tuner.key, "write tuner_strategy: lora")
    _first_weights(findings, plan)
    for written, reason in declared.get("excludes", {}).items():
        key, _, value = str(written).partition("=")
        section, _, setting = key.partition(".")
        present = getattr(getattr(findings.config.settings, section), setting)
        if present == value if value else (present and present != "auto"):
            message = f"{key}: {_shown(present)} does not go with the tuner {name!r}: {reason}"
            findings.wrong("tuner-conflict", message, key, f"remove {key}, or write tuner_strategy: lora")


def _first_weights(findings: Findings, plan: RunPlan) -> None:
    """Keep a problem for an option that keeps the first weights, whole, where no process has whole weights."""
    method = findings.config.settings.device.parallel_method
    if method not in ("fsdp2", "zero3"):
        return
    for option, values in plan.tuner.source.declared.get("first_weights", {}).items():
        given = plan.tuner.options.get(option)
        if given and (not values or given in values):
            message = (
                f"{option}: {given} of the tuner {plan.tuner.plugin.name!r} keeps the first weights whole for the "
                f"reference, and {method} shares them out"
            )
            findings.wrong("tuner-conflict", message, f"train.tuner_kwargs.{option}", "write parallel_method: ddp")


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
