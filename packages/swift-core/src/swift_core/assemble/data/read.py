"""The records of a run: every data set read, its format detected, training and held-out rows told apart."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from swift_core.assemble.data.detect import check_columns, detect, formats_of, records
from swift_core.assemble.data.rows import Item, Mistakes
from swift_core.assemble.data.sources import read, references
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.contracts.data import Message, Record
    from swift_core.contracts.handover import RunPlan


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """What was read for one data set of the run file."""

    reference: str
    rows: int
    format: str
    because: str
    """How the format is known, as `every row has messages[].role and messages[].content`."""


@dataclass(frozen=True, slots=True)
class RunData:
    """The rows of a run in common form."""

    train: Sequence[Item]
    held_out: Sequence[Item]
    sources: tuple[SourceFacts, ...]
    held_out_sources: tuple[SourceFacts, ...]


def read_data(plan: RunPlan) -> RunData:
    """Read everything `data` names; raise SwiftError with every row that is wrong."""
    train, sources = _read(plan, "data.dataset")
    held_out, held_out_sources = _read(plan, "data.val_dataset")
    ratio = plan.settings.data.split_dataset_ratio
    if not held_out_sources and ratio > 0:
        train, held_out = _split(plan, train, ratio)
    return RunData(train, held_out, sources, held_out_sources)


def _read(plan: RunPlan, key: str) -> tuple[list[Item], tuple[SourceFacts, ...]]:
    found = references(plan.config, key)
    sources = [read(reference) for reference in found]
    formats = formats_of(plan)
    if sources:
        check_columns(plan, sources)
    items, facts, mistakes = [], [], Mistakes()
    for source, reference in zip(sources, found, strict=True):
        detected = detect(source, formats, reference.place)
        items += records(source, detected, formats, mistakes)
        facts.append(SourceFacts(source.reference, len(source.rows), detected.name, detected.because))
    mistakes.raise_any()
    system = plan.settings.data.system
    return [replace(item, record=_with_system(item.record, system)) for item in items], tuple(facts)


def _with_system(record: Record, system: str) -> Record:
    """Put the system message before a conversation that has none."""
    prompt = record.prompt
    if not system or prompt is None or isinstance(prompt, str):
        return record
    if prompt and prompt[0]["role"] in ("system", "developer"):
        return record
    first: Message = {"role": "system", "content": system}
    return replace(record, prompt=[first, *prompt])


def _split(plan: RunPlan, items: list[Item], ratio: float) -> tuple[list[Item], list[Item]]:
    """Draw the held-out share by seed; both parts keep the order of the file."""
    if len(items) < 2:
        message = "data.split_dataset_ratio needs at least two rows to divide, and there is one."
        place = plan.config.place("data.split_dataset_ratio")
        raise SwiftError(Problem("too-few-rows", message, place, "give more rows, or set it to 0"))
    count = min(max(1, round(len(items) * ratio)), len(items) - 1)
    drawn = set(random.Random(plan.settings.train.seed).sample(range(len(items)), count))
    kept: Any = [[], []]
    for index, item in enumerate(items):
        kept[index in drawn].append(item)
    return kept[0], kept[1]
