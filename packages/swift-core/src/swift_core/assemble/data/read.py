"""The records of a run: every data set read, its format detected, training and held-out rows told apart."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from swift_core.assemble.data.agents import agent_of, uses_tools
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

    tool_rows: int
    """Rows with tools, calls or what a tool answered."""


@dataclass(frozen=True, slots=True)
class RunData:
    """The rows of a run in common form."""

    train: Sequence[Item]
    held_out: Sequence[Item]
    sources: tuple[SourceFacts, ...]
    held_out_sources: tuple[SourceFacts, ...]
    notes: tuple[str, ...] = ()
    """What is to be told of all rows."""


def read_data(plan: RunPlan) -> RunData:
    """Read everything `data` names; raise SwiftError with every row that is wrong."""
    train, sources = _read(plan, "data.dataset")
    held_out, held_out_sources = _read(plan, "data.val_dataset")
    ratio = plan.settings.data.split_dataset_ratio
    if not held_out_sources and ratio > 0:
        train, held_out = _split(plan, train, ratio)
    return RunData(train, held_out, sources, held_out_sources, agent_notes(plan, (*sources, *held_out_sources)))


def _read(plan: RunPlan, key: str) -> tuple[list[Item], tuple[SourceFacts, ...]]:
    found = references(plan.config, key)
    sources = [read(reference) for reference in found]
    formats = formats_of(plan)
    if sources:
        check_columns(plan, sources)
    items, facts, mistakes = [], [], Mistakes()
    for source, reference in zip(sources, found, strict=True):
        detected = detect(source, formats, reference.place)
        read_now = records(source, detected, formats, mistakes)
        num_tools = sum(uses_tools(item.record) for item in read_now)
        facts.append(SourceFacts(source.reference, len(source.rows), detected.name, detected.because, num_tools))
        items += read_now
    mistakes.raise_any()
    system = plan.settings.data.system
    items = [replace(item, record=_with_system(item.record, system)) for item in items]
    return _with_agent(plan, items), tuple(facts)


def _with_agent(plan: RunPlan, items: list[Item]) -> list[Item]:
    """Write tools, calls and results as the agent template of the run does."""
    agent = agent_of(plan)
    if agent is None:
        return items
    written, mistakes = [], Mistakes()
    for item in items:
        try:
            record = agent.written(item.record)
        except ValueError as error:
            message = f"The agent template {agent.part.plugin.name} cannot write the row: {error}."
            mistakes.add("agent-template-row", message, item.row.place, "mend the row, or choose another template")
            continue
        written.append(replace(item, record=record))
    mistakes.raise_any()
    return written


def agent_notes(plan: RunPlan, sources: Sequence[SourceFacts]) -> tuple[str, ...]:
    """Say how tools are written, and in how many rows."""
    if plan.agent_template is None:
        return ()
    name, total = plan.agent_template.plugin.name, sum(source.rows for source in sources)
    with_tools = sum(source.tool_rows for source in sources)
    if not with_tools:
        return (f"agent template {name}: no row has tools or calls, so it writes nothing",)
    return (f"agent template {name} writes the tools, calls and results of {with_tools:,} of {total:,} rows",)


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
