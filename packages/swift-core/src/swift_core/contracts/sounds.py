"""What a sound of a row is: a WAV file or its bytes, decoded when it is asked for.

The turns of a record hold the mark `<audio>` once for each sound, in their order.
"""

from __future__ import annotations

import base64
import binascii
import io
import wave
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.contracts.images import ImageError, opened_file, stamp_of

if TYPE_CHECKING:
    import numpy as np

SOUND_MARK = "<audio>"
"""Stands in a turn where a sound is heard."""

SOUND_COLUMNS = ("audios", "audio")
"""Columns that hold the sounds of a row, one or a list."""

LARGEST_SOUND = 256 * 2**20
"""Bytes of a sound file, at most."""

_KEYS = ("bytes", "base64", "path", "audio", "url", "audio_url")
"""What an object says of a sound, by what goes first."""


class SoundError(ImageError):
    """A sound that cannot be had; the text follows its name."""


@dataclass(frozen=True, slots=True)
class SoundRef:
    """One sound of a row: a path or bytes."""

    path: str = ""
    """Of the file; absolute once core has read the row."""

    data: bytes = b""
    """A WAV file's content."""

    stamp: str = ""
    """Changes when the content does: a hash of the bytes, or size and time of the file."""

    kind: ClassVar[str] = "audio"

    @property
    def name(self) -> str:
        """What messages call it."""
        return repr(self.path) if self.path else f"of {len(self.data):,} bytes in the row"

    def seconds(self) -> float:
        """Return the length; only the header is read.

        Raises:
            SoundError: There is no sound.
        """
        with _reading(self) as file:
            return file.getnframes() / file.getframerate()

    def summary(self) -> str:
        """Return the length in words, as previews show it."""
        return f"{self.seconds():.2f} s"

    def open(self) -> tuple[np.ndarray, int]:
        """Return the samples, float32 in [-1, 1], channels averaged, and how many there are in a second.

        Raises:
            SoundError: There is no sound, or it is damaged.
        """
        import numpy as np

        with _reading(self) as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            content = file.readframes(file.getnframes())
            if len(content) != file.getnframes() * width * channels or not content:
                raise SoundError("broken-audio", "is cut off, or empty", "mend the file")
        samples = _integers(content, width).reshape(-1, channels).mean(1) / float(1 << (8 * width - 1))
        return samples.astype(np.float32), rate

    def as_json(self) -> dict[str, Any]:
        """Return what `sound_from_json` makes this sound of."""
        kept: dict[str, Any] = {"path": self.path, "stamp": self.stamp}
        return {**kept, "data": base64.b64encode(self.data).decode()} if self.data else kept


def sound_from_json(value: Mapping[str, Any]) -> SoundRef:
    """Return the sound that `as_json` wrote."""
    return SoundRef(**{**value, "data": base64.b64decode(value.get("data", ""))})


def row_sounds(row: Mapping[str, Any]) -> tuple[SoundRef, ...]:
    """Return the sounds of a row's columns, as written; raise ValueError when a value is no sound."""
    named = [name for name in SOUND_COLUMNS if row.get(name) not in (None, "", [], ())]
    if len(named) > 1:
        raise ValueError("sounds stand in the column audios and in the column audio; keep one of them")
    if not named:
        return ()
    value = row[named[0]]
    if isinstance(value, list | tuple):
        return tuple(_sound(each, f"{named[0]}[{index}]") for index, each in enumerate(value))
    return (_sound(value, named[0]),)


def _sound(value: Any, place: str) -> SoundRef:
    if isinstance(value, SoundRef):
        return value
    if isinstance(value, bytes | bytearray | memoryview) and len(value):
        return SoundRef(data=bytes(value), stamp=stamp_of(bytes(value)))
    if isinstance(value, str) and value.strip():
        return _of_text(value.strip(), place)
    if isinstance(value, Mapping):
        for key in _KEYS:
            if value.get(key):
                found = _decoded(value[key], f"{place}.{key}") if key == "base64" else value[key]
                return _sound(found, f"{place}.{key}")
    shown = "nothing" if value is None else repr(value)[:60]
    raise ValueError(f"{place} must be a sound: a path, bytes, or an object with bytes, base64 or path; got {shown}")


def _of_text(text: str, place: str) -> SoundRef:
    if text[:5].lower() == "data:":
        head, comma, content = text.partition(",")
        if not comma or not head.lower().startswith("data:audio/") or ";base64" not in head.lower():
            raise ValueError(f"{place} must be data:audio/...;base64,..., got {head[:40]!r}")
        return _sound(_decoded(content, place), place)
    if "://" in text[:16]:
        raise ValueError(f"{place} is on a server, and sounds are read from files alone: fetch it, and name the file")
    return SoundRef(path=text)


def _decoded(value: Any, place: str) -> bytes:
    try:
        return base64.b64decode("".join(str(value).split()), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{place} is no base64 text") from None


@contextmanager
def _reading(sound: SoundRef) -> Iterator[wave.Wave_read]:
    """Open a WAV file; what the standard library raises, then or later, becomes a SoundError."""
    try:
        with opened_file(sound.path) if sound.path else io.BytesIO(sound.data) as file, wave.open(file) as opened:
            yield opened
    except SoundError:
        raise
    except ImageError as error:
        raise SoundError("missing-audio", str(error), error.next_step.replace("image", "sound")) from error
    except (wave.Error, EOFError, OSError) as error:
        raise _broken(error) from error


def _broken(error: BaseException) -> SoundError:
    reason = " ".join(str(error).split()) or type(error).__name__
    step = "convert the file to WAV with whole numbers: ffmpeg -i FILE -c:a pcm_s16le FILE.wav"
    return SoundError("broken-audio", f"cannot be read as WAV: {reason}", step)


def _integers(content: bytes, width: int) -> np.ndarray:
    """Return samples of 1 to 4 bytes; of one byte they are unsigned, as the format has it."""
    import numpy as np

    if width == 1:
        return np.frombuffer(content, np.uint8).astype(np.int32) - 128
    if width != 3:
        return np.frombuffer(content, f"<i{width}")
    padded = np.zeros((len(content) // 3, 4), np.uint8)
    padded[:, 1:] = np.frombuffer(content, np.uint8).reshape(-1, 3)
    return padded.view("<i4")[:, 0] >> 8
