"""The sounds of a row, from what the row names to files that are there, and to one mark `<audio>` for each.

Which files a row may name is as for images.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from swift_core.assemble.data.images import allowed_path, as_text, stamp, texts_of, with_marks
from swift_core.contracts.images import ImageError
from swift_core.contracts.sounds import LARGEST_SOUND, SOUND_MARK, SoundError, SoundRef

if TYPE_CHECKING:
    from swift_core.assemble.data.images import ImageRules
    from swift_core.contracts.data import Record

_SHARED = ("prompt", "text", "completion")
"""Parts of a record whose turns may hold sounds."""


@dataclass(slots=True)
class RowSounds:
    """Finds the sounds of rows, and counts what it did."""

    rules: ImageRules
    counts: Counter[str] = field(default_factory=Counter)

    def found(self, record: Record) -> Record:
        """Return `record` with its sounds found and marked; raise SoundError."""
        if not record.audios:
            return record
        num_marks = sum(text.count(SOUND_MARK) for name in _SHARED for text in texts_of(getattr(record, name)))
        if num_marks not in (0, len(record.audios)):
            message = f"the row has {len(record.audios)} sounds, and {SOUND_MARK} {num_marks} times in its text"
            raise SoundError("audio-marks", message, f"write {SOUND_MARK} once for each sound")
        sounds = tuple(self._named(sound) for sound in record.audios)
        self.counts["rows"] += 1
        self.counts["audios"] += len(sounds)
        self.counts["placed"] += num_marks == 0
        record = replace(record, audios=sounds, columns={name: as_text(each) for name, each in record.columns.items()})
        marked = record if num_marks else with_marks(record, SOUND_MARK * len(sounds))
        if marked is None:
            message = f"the row has sounds, and no {SOUND_MARK} in its text"
            raise SoundError("audio-marks", message, f"write {SOUND_MARK} once for each sound")
        return marked

    def _named(self, sound: SoundRef) -> SoundRef:
        try:
            return self._file(sound) if sound.path else _small(sound, len(sound.data))
        except ImageError as error:
            raise SoundError(error.code, f"the sound {sound.name} {error}", error.next_step) from error

    def _file(self, sound: SoundRef) -> SoundRef:
        path = allowed_path(self.rules, sound.path, self.counts)
        if not path.is_file():
            raise SoundError(
                "missing-audio", f"is no file ({path})", f"mend the path; paths start from {self.rules.folder}"
            )
        return _small(replace(sound, path=str(path), stamp=stamp(path)), path.stat().st_size)


def sound_notes(name: str, counts: Counter[str], num_rows: int) -> tuple[str, ...]:
    """Return what is to be told of the sounds of a data set."""
    if not counts["audios"]:
        return ()
    told = f"{name}: {counts['audios']:,} sounds in {counts['rows']:,} of {num_rows:,} rows"
    if counts["placed"]:
        told += f"; {counts['placed']:,} rows have no {SOUND_MARK}, and theirs stand before the first question"
    return (told,)


def _small(sound: SoundRef, size: int) -> SoundRef:
    if size > LARGEST_SOUND:
        raise SoundError("audio-too-large", f"has more than {LARGEST_SOUND:,} bytes", "cut it")
    return sound
