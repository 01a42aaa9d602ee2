"""The records of a run: every data set read, its format detected, training and held-out rows told apart."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from swift_core.assemble.data.agents import agent_of, uses_tools
from swift_core.assemble.data.detect import check_columns, detect, formats_of, records
from swift_core.assemble.data.grounding import writer_of
from swift_core.assemble.data.images import RowImages, image_notes, rules_of
from swift_core.assemble.data.media import has_media_column, modalities_of
from swift_core.assemble.data.mixing import interleaved, told
from swift_core.assemble.data.rows import Item, Mistakes, Row
from swift_core.assemble.data.sounds import RowSounds, sound_notes
from swift_core.assemble.data.sources import Source, downloads, read
from swift_core.assemble.data.split import draw_of
from swift_core.assemble.data.streaming import Stream, StreamedItems
from swift_core.config.data_files import references
from swift_core.contracts.images import ImageError
from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Callable

    from swift_core.config.data_files import Reference
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

    image_notes: tuple[str, ...] = ()
    """What is to be told of the images of its rows."""

    modalities: tuple[str, ...] = ()
    """What its rows have beside text: `image`, `video`, `audio`."""


@dataclass(frozen=True, slots=True)
class RunData:
    """The rows of a run in common form."""

    train: Sequence[Item] | StreamedItems
    held_out: Sequence[Item]
    sources: tuple[SourceFacts, ...]
    held_out_sources: tuple[SourceFacts, ...]
    notes: tuple[str, ...] = ()
    """What is to be told of all rows."""

    @property
    def modalities(self) -> frozenset[str]:
        """What rows have beside text."""
        return frozenset(name for source in (*self.sources, *self.held_out_sources) for name in source.modalities)

    def first(self, count: int) -> list[Item]:
        """Return the first training rows."""
        return list(islice(self.train, count))


def read_data(plan: RunPlan) -> RunData:
    """Read everything `data` names; raise SwiftError with every row that is wrong."""
    data = plan.settings.data
    held_parts, held_out_sources = _read(plan, "data.val_dataset", lambda _: None)
    split = Split(plan, 0.0 if held_out_sources else data.split_dataset_ratio)
    parts, sources = (_stream if data.streaming else _read)(plan, "data.dataset", split.see)
    counts = split.settled(parts)
    notes = agent_notes(plan, (*sources, *held_out_sources))
    notes += tuple(note for source in (*sources, *held_out_sources) for note in source.image_notes)
    order = None
    if data.interleave_prob:
        order = partial(interleaved, counts, data.interleave_prob, data.stopping_strategy, plan.settings.train.seed)
        counts_taken = Counter(order())
        taken = [counts_taken[index] for index in range(len(counts))]
        notes = (*notes, told([source.reference for source in sources], counts, taken, data.stopping_strategy))
    total = sum(1 for _ in order()) if order else sum(counts)
    train = StreamedItems(parts, split.is_kept, order, total)
    held_out = split.held_out or [item for part in held_parts for item in part]
    return RunData(train if data.streaming else list(train), held_out, sources, held_out_sources, notes)


def _read(plan: RunPlan, key: str, see: Callable[[Item], None]) -> tuple[list[Sequence[Item]], tuple[SourceFacts, ...]]:
    """Return the rows of each data set, and show each row to `see`."""
    found = references(plan.config, key)
    sources = [read(reference) for reference in found]
    formats = formats_of(plan)
    if sources:
        check_columns(plan, sources)
    parts: list[Sequence[Item]] = []
    facts, mistakes = [], Mistakes()
    for source, reference in zip(sources, found, strict=True):
        detected = detect(source, formats, reference.place)
        finish = Finish(plan, reference)
        finish.images.has_column = has_media_column(
            formats.columns, {name for row in source.rows for name in row.values}
        )
        items = records(source, detected, formats, mistakes)
        num_tools = sum(uses_tools(item.record) for item in items)
        parts.append([each for item in items if (each := finish(item, mistakes)) is not None])
        notes = finish.media_notes(source.reference, len(source.rows))
        known = detected.name, detected.because, num_tools, notes, tuple(sorted(finish.modalities))
        facts.append(SourceFacts(source.reference, len(source.rows), *known))
    mistakes.raise_any()
    for item in (item for part in parts for item in part):
        see(item)
    return parts, tuple(facts)


def _stream(
    plan: RunPlan, key: str, see: Callable[[Item], None]
) -> tuple[list[Iterable[Item]], tuple[SourceFacts, ...]]:
    """Return the data sets as streams, gone through once."""
    formats, facts = formats_of(plan), []
    streams: list[Iterable[Item]] = []
    looked: list[Source] = []
    for reference in references(plan.config, key):
        finish = Finish(plan, reference)
        stream = Stream(reference, formats, finish)
        stream.look(see)
        assert stream.detected is not None  # by the look
        known = stream.detected
        notes = finish.media_notes(reference.text, stream.num_rows)
        told = known.name, known.because, finish.num_tools, notes, tuple(sorted(finish.modalities))
        facts.append(SourceFacts(reference.text, stream.num_rows, *told))
        looked.append(Source(reference.text, [Row(dict.fromkeys(stream.columns), reference.text, 1)]))
        finish.num_tools = 0
        streams.append(stream)
    check_columns(plan, looked)
    return streams, tuple(facts)


class Finish:
    """What becomes of a record after its format was read: images, the system message, and the agent template."""

    def __init__(self, plan: RunPlan, reference: Reference) -> None:
        """Build the agent template; rows are those of `reference`."""
        self._system, self._agent = plan.settings.data.system, agent_of(plan)
        self._boxes = writer_of(plan)
        rules = rules_of(plan, reference.folder(), downloads())
        self.images, self._sounds = RowImages(rules), RowSounds(rules)
        self.num_tools = 0
        """Rows with tools so far."""

        self.modalities: set[str] = set()
        """What rows had beside text so far."""

    def media_notes(self, name: str, num_rows: int) -> tuple[str, ...]:
        """Return what is to be told of the images and sounds of the data set `name`."""
        return image_notes(name, self.images.counts, num_rows) + sound_notes(name, self._sounds.counts, num_rows)

    def __call__(self, item: Item, mistakes: Mistakes) -> Item | None:
        """Return the row, or None after its mistake was kept."""
        try:
            record = self._boxes.written(self.images.found(self._sounds.found(item.record)))
        except ValueError as error:
            code = error.code if isinstance(error, ImageError) else "malformed-row"
            step = error.next_step if isinstance(error, ImageError) else "mend the row, or remove it"
            mistakes.add(code, f"{str(error)[0].upper()}{str(error)[1:]}.", item.row.place, step)
            return None
        record = _with_system(record, self._system)
        self.num_tools += uses_tools(record)
        self.modalities |= set(modalities_of(record))
        if self._agent is None:
            return replace(item, record=record)
        try:
            return replace(item, record=self._agent.written(record))
        except ValueError as error:
            message = f"The {self._agent.part.plugin.whose} cannot write the row: {error}."
            mistakes.add("agent-template-row", message, item.row.place, "mend the row, or choose another template")
            return None


class Split:
    """Tells rows that are held out from those that are trained on."""

    def __init__(self, plan: RunPlan, ratio: float) -> None:
        """Hold out the share `ratio` of the rows; 0 holds out none."""
        self._plan, self._ratio, self._seed = plan, ratio, plan.settings.train.seed
        self._num_rows, self._lowest, self._highest = 0, 1.0, 0.0
        self._nearest: Item | None = None
        self.held_out: list[Item] = []

    def see(self, item: Item) -> None:
        """Look at one row."""
        self._num_rows += 1
        if not self._ratio:
            return
        draw = draw_of(item.row.values, self._seed)
        self._highest = max(self._highest, draw)
        if draw < self._lowest:
            self._lowest, self._nearest = draw, item
        if draw < self._ratio:
            self.held_out.append(item)

    def settled(self, parts: Sequence[Iterable[Item]]) -> list[int]:
        """Return the training rows of each part; at least one row of all is held out, and one is not."""
        if self._ratio:
            self._settle()
        return [sum(1 for item in part if self.is_kept(item)) for part in parts]

    def _settle(self) -> None:
        if self._num_rows < 2 or self._lowest == self._highest:
            few = "there is one" if self._num_rows < 2 else "all say the same"
            message = f"data.split_dataset_ratio needs at least two rows to divide, and {few}."
            place = self._plan.config.place("data.split_dataset_ratio")
            raise SwiftError(Problem("too-few-rows", message, place, "give more rows, or set it to 0"))
        if not self.held_out and self._nearest is not None:
            self._ratio, self.held_out = math.nextafter(self._lowest, 1), [self._nearest]
        if self._highest < self._ratio:
            self._ratio = self._highest
            self.held_out = [item for item in self.held_out if not self.is_kept(item)]

    def is_kept(self, item: Item) -> bool:
        """Say whether a row is trained on."""
        return not self._ratio or draw_of(item.row.values, self._seed) >= self._ratio


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
