"""The parts of a model that sees or hears, by name: `part:vision`, `part:audio`, `part:aligner`, `part:language`.

What is what follows from the model itself: transformers tells its towers and its decoder. The aligner is what
lies between: modules outside both, and those inside the tower that are named as what hands images on to the decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_core.resolve.trainable import PART, fits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import nn

PARTS = ("vision", "audio", "aligner", "language")

_TOWERS = {"vision": "image", "audio": "audio"}
"""Part -> what transformers calls the modality of its tower."""

_HANDS_ON = ("merger", "projector", "projection", "connector", "aligner", "resampler", "adaptor")
"""Parts of names of modules that turn what a tower says into what a decoder reads."""


@dataclass(frozen=True, slots=True)
class ModelParts:
    """Where the parts of a model are."""

    towers: Mapping[str, str]
    """Of `vision` and `audio`, those that the model has -> names of their modules."""

    language: tuple[str, ...]
    """Names of the decoder and the output head."""

    def part_of(self, name: str) -> str:
        """Return the part that a parameter or module belongs to, adapted or not."""
        dotted = f".{name}."
        if any(f".{module}." in dotted for module in self.language):
            return "language"
        if any(word in segment for segment in name.split(".") for word in _HANDS_ON):
            return "aligner"
        return next((part for part, tower in self.towers.items() if f".{tower}." in dotted), "aligner")

    def fits(self, name: str, pattern: str) -> bool:
        """Say whether `pattern`, which may name a part, fits a parameter."""
        return self.part_of(name) == pattern.removeprefix(PART) if pattern.startswith(PART) else fits(name, pattern)


@dataclass(frozen=True, slots=True)
class OnePart:
    """A model of text alone: patterns, and no part."""

    def fits(self, name: str, pattern: str) -> bool:
        """Say whether `pattern` fits a parameter."""
        return fits(name, pattern)


def parts_of(model: Any, patterns: Sequence[str] = ()) -> ModelParts | OnePart:
    """Return where the parts of `model` are.

    Args:
        model: Adapted or not.
        patterns: What is asked for.

    Raises:
        ValueError: A pattern names a part that no model has, or this one has no vision part.
    """
    asked = [pattern for pattern in patterns if pattern.startswith(PART)]
    for pattern in asked:
        if pattern.removeprefix(PART) not in PARTS:
            raise ValueError(f"{pattern!r} names no part; there are {', '.join(PART + each for each in PARTS)}")
    base = model.get_base_model() if hasattr(model, "peft_config") else model
    names = {id(module): name for name, module in base.named_modules()}
    towers = {part: name for part, modality in _TOWERS.items() if (name := names.get(id(_tower(base, modality))))}
    lacking = [part for part in asked if part.removeprefix(PART) in _TOWERS and part.removeprefix(PART) not in towers]
    if lacking or (asked and not towers):
        part = (lacking or [PART + "vision"])[0].removeprefix(PART)
        raise ValueError(f"{(lacking or asked)[0]!r}: the model has no {part} part")
    if not towers:
        return OnePart()
    found = (names.get(id(module)) for module in (base.get_decoder(), base.get_output_embeddings()))
    return ModelParts(towers, tuple(name for name in found if name))


def _tower(base: Any, modality: str) -> Any:
    """Return the encoder of a modality, None where there is none: transformers then returns the model itself."""
    found = base.get_encoder(modality=modality) if hasattr(base, "get_encoder") else None
    return None if found is base or found is getattr(base, "base_model", None) else found


def linear_modules(model: nn.Module, part: str) -> list[str]:
    """Return the names of the linear modules of `part:NAME`, the output head left out."""
    from torch import nn

    parts = parts_of(model, [part])
    head = model.get_output_embeddings()  # type: ignore[operator]
    linear = ((name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear))
    return [name for name, module in linear if module is not head and parts.fits(name, part)]


def whole_modules(model: nn.Module, part: str) -> list[str]:
    """Return the names of the largest modules that have nothing but parameters of `part:NAME`."""
    parts = parts_of(model, [part])
    return list(_whole(model, "", parts, part))


def _whole(module: nn.Module, name: str, parts: ModelParts | OnePart, part: str) -> Iterator[str]:
    """Yield the module when all of its parameters fit, else those of its modules that do; lists have no forward."""
    from torch import nn

    own = [f"{name}.{each}".lstrip(".") for each, _ in module.named_parameters()]
    if own and name and not isinstance(module, nn.ModuleList) and all(parts.fits(each, part) for each in own):
        yield name
        return
    for child_name, child in module.named_children():
        yield from _whole(child, f"{name}.{child_name}".lstrip("."), parts, part)
