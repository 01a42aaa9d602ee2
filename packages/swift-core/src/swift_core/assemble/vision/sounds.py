"""The audio half of a model's processor: what transformers makes of a sound, in tokens and in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.assemble.vision.processor import ImageProcessing, not_of_text
from swift_core.contracts.sounds import SOUND_MARK, SoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from torch import Tensor


@dataclass(frozen=True)
class SoundProcessing(ImageProcessing):
    """The processor in the folder of a model that hears; it is opened when it is first used."""

    kind: ClassVar[str] = "audio"
    mark: ClassVar[str] = SOUND_MARK
    _ids: ClassVar[tuple[str, ...]] = ("audio_token_id", "audio_token_index")

    def texts(self, images: Sequence[Any]) -> tuple[str, ...]:
        """Return the text that each sound of a row becomes; it follows from their lengths."""
        sounds = [self._heard(*opened) for opened in images]
        lengths = tuple(map(len, sounds))
        if lengths not in self._known:
            replaced = self._called([sounds])["text_replacement_offsets"][0]
            self._known[lengths] = tuple(entry["replacement"] for entry in replaced)
        return self._known[lengths]

    def inputs(self, rows: Sequence[Sequence[Any]], input_ids: Tensor) -> dict[str, Tensor]:
        """Return what a model is given beside the tokens of a batch.

        Args:
            rows: The sounds of each row; a row may have none.
            input_ids: [row, time], in which sounds are their tokens already.

        Raises:
            SoundError: A sound cannot be read.
        """
        heard = [[self._heard(*sound.open()) for sound in row] for row in rows if row]
        return not_of_text(self._called(heard)) if heard else {}

    def _given(self, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
        return {"audio": [sound for row in rows for sound in row], "sampling_rate": self._rate}

    @property
    def _rate(self) -> int:
        return int(self.processor.feature_extractor.sampling_rate)

    def _heard(self, samples: np.ndarray, rate: int) -> np.ndarray:
        """Return samples at the model's rate; a longer sound than it hears is an error, and never cut."""
        limit = getattr(self.processor.feature_extractor, "n_samples", 0)
        heard = resampled(samples, rate, self._rate)
        if limit and len(heard) > limit:
            lengths = f"{len(heard) / self._rate:.2f} s, and the model hears {limit / self._rate:.2f} s at once"
            raise SoundError("audio-too-long", f"has {lengths}", "cut it")
        return heard


def resampled(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Return samples at another rate: the same spectrum up to the lower of both limits, taken as periodic."""
    import numpy as np

    if rate == wanted:
        return samples
    length = max(round(len(samples) * wanted / rate), 1)
    spectrum = np.fft.rfft(samples.astype(np.float64))
    kept = np.zeros(length // 2 + 1, np.complex128)
    num_kept = min(len(kept), len(spectrum))
    kept[:num_kept] = spectrum[:num_kept]
    return (np.fft.irfft(kept, length) * (length / len(samples))).astype(np.float32)
