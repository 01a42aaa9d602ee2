"""The parts of a model that sees images, by name: `part:vision`, `part:aligner` and `part:language`.

What is what follows from the model itself: transformers tells its image tower and its decoder. The aligner is what
lies between: modules outside both, and those inside the tower that are named as what hands images on to the decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_core.resolve.trainable import PART, fits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

PARTS = ("vision", "aligner", "language")

_HANDS_ON = ("merger", "projector", "projection", "connector", "aligner", "resampler", "adaptor")
"""Parts of names of modules that turn what a tower says into what a decoder reads."""


@dataclass(frozen=True, slots=True)
class ModelParts:
    """Where the parts of a model are."""

    vision: str
    """Name of the image tower."""

    language: tuple[str, ...]
    """Names of the decoder and the output head."""

    def part_of(self, name: str) -> str:
        """Return the part that a parameter or module belongs to, adapted or not."""
        dotted = f".{name}."
        if any(f".{module}." in dotted for module in self.language):
            return "language"
        if any(word in segment for segment in name.split(".") for word in _HANDS_ON):
            return "aligner"
        return "vision" if f".{self.vision}." in dotted else "aligner"

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
    tower = names.get(id(base.get_encoder(modality="image"))) if hasattr(base, "get_encoder") else None
    if not tower or base.get_encoder(modality="image") is getattr(base, "base_model", None):
        if asked:
            raise ValueError(f"{asked[0]!r}: the model has no vision part")
        return OnePart()
    found = (names.get(id(module)) for module in (base.get_decoder(), base.get_output_embeddings()))
    return ModelParts(tower, tuple(name for name in found if name))


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
