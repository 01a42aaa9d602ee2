"""Short keys in `train` that go to the options of the chosen part that has them: `lora_rank`, `lora_alpha`, `beta`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from swift_core.contracts.handover import ValueOrigin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.resolve.findings import Findings
    from swift_core.resolve.parts import Looked

OPTION_NAMES = {
    "train.lora_rank": (("lora_rank", None), ("rank", "tuner"), ("r", "tuner")),
    "train.lora_alpha": (("lora_alpha", None), ("alpha", "tuner")),
    "train.beta": (("beta", None),),
}
"""Shorthand -> names the option may have, each with the only kind of part that may have it (None: any)."""


@dataclass(slots=True)
class OptionSet:
    """The options of one part while they are put together."""

    looked: Looked
    key: str
    """Where they stand in the run file: `train.loss_kwargs`."""

    options: dict[str, Any]
    origins: dict[str, ValueOrigin] = field(default_factory=dict)
    """Of options that do not stand under `key`."""


def place_shorthands(findings: Findings, sets: Sequence[OptionSet]) -> None:
    """Give each shorthand to the one part that has such an option, in place."""
    for key, names in OPTION_NAMES.items():
        if key in findings.config.shorthands:
            _place(findings, key, names, sets)


def _place(findings: Findings, key: str, names: Sequence[tuple[str, str | None]], sets: Sequence[OptionSet]) -> None:
    for name, only in names:
        takers = [s for s in sets if s.looked.has_option(name) and only in (None, s.looked.kind)]
        if len(takers) > 1:
            shown = " and ".join(f"{s.key}.{name}" for s in takers)
            message = f"{key} could mean {shown}"
            findings.wrong_key("ambiguous-key", message, key, f"write it as {takers[0].key}.{name}")
            return
        if takers:
            _give(findings, key, name, takers[0])
            return
    parts = ", ".join(f"{s.looked.kind} {s.looked.plugin.name}" for s in sets)
    wanted = names[0][0]
    message = f"no chosen part has an option {wanted!r} ({parts})"
    findings.wrong_key("unknown-option", message, key, "remove it, or choose a part that has it: swift plugins info")


def _give(findings: Findings, key: str, name: str, taker: OptionSet) -> None:
    config = findings.config
    full = f"{taker.key}.{name}"
    short, long = config.origins[key], config.origins.get(full)
    if name in taker.options and long is not None:
        if short.kind == long.kind:
            message = f"{key} means {full}, which is given at {config.key_places.get(full, long.place)}"
            findings.wrong_key("given-twice", message, key, "keep one of the two")
            return
        if long.kind == "command line":
            return
    findings.note(f"{key} means {full}")
    taker.options[name] = config.shorthands[key]
    taker.origins[name] = ValueOrigin(short.kind, short.place, f"written as {key}")
