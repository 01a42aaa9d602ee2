"""Models with two encoders, one of images and one of texts (CLIP, SigLIP): what each of them is given."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.assemble.encoder import HfEncoder
from swift_core.assemble.vision.processor import keep_processor
from swift_core.resolve.model_facts import read_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from swift_core.contracts.images import ImageRef


@dataclass(frozen=True)
class Pixels:
    """The image processor in a model's folder, opened when it is first used, in each process anew."""

    folder: Path
    _opened: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as the folder."""
        return Pixels, (self.folder,)

    @property
    def processor(self) -> Any:
        """The image processor of transformers; raise ValueError when there is none."""
        if not self._opened:
            from transformers import AutoImageProcessor

            try:
                found = AutoImageProcessor.from_pretrained(self.folder, backend="pil", trust_remote_code=False)
            except (OSError, ValueError, KeyError, ImportError) as error:
                raise ValueError(f"the image processor of {self.folder} cannot be opened: {error}") from error
            self._opened.append(found)
        return self._opened[0]

    def inputs(self, rows: Sequence[Sequence[ImageRef]], input_ids: Tensor) -> dict[str, Tensor]:
        """Return the pixels of all images, [image, channel, height, width]; raise ImageError for a broken one."""
        made: Tensor = self.processor([image.open() for row in rows for image in row], return_tensors="pt")[
            "pixel_values"
        ]
        return {"pixel_values": made}


class DualEncoder(HfEncoder):
    """The tokenizer of a model with two encoders; images stand beside its tokens, and never among them."""

    modalities: ClassVar[tuple[str, ...]] = ("image",)
    image_ids: ClassVar[frozenset[int]] = frozenset()
    """Tokens that images consist of."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
        """Wrap `tokenizer`; raise ValueError when the folder has no image processor or says no length."""
        super().__init__(tokenizer)
        self._whole: Any = tokenizer
        self._folder = folder
        self.processing = Pixels(folder)
        _ = self.processing.processor
        text = read_model(folder).config.get("text_config", {})
        self.max_positions = int(text.get("max_position_embeddings", 0)) or _default_positions(folder)
        """Tokens that the model can read, at most."""

    def with_images(self, images: Sequence[ImageRef]) -> DualEncoder:
        """Return the encoder of a row."""
        return self

    def closed(self, text: str) -> list[int]:
        """Return the tokens of `text` with those that the tokenizer puts around it.

        A tokenizer that gives no attention mask fills up with padding, which the model was trained to see.
        """
        ids: list[int] = self._whole(text)["input_ids"]
        return ids if self._has_mask else ids + [self.pad_token_id] * (self.max_positions - len(ids))

    @cached_property
    def _has_mask(self) -> bool:
        return "attention_mask" in self._whole.model_input_names

    def fingerprint(self) -> str:
        """Return a hash of all that decides which tokens a text becomes."""
        total = hashlib.sha256(f"{super().fingerprint()} {self.max_positions} {self._has_mask}".encode())
        return total.hexdigest()

    def save_processor(self, folder: Path) -> None:
        """Put the image processor beside what was trained."""
        keep_processor(self._folder, folder)


def _default_positions(folder: Path) -> int:
    """Return the length that the configuration of this kind of model has where it says none."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    return int(config.get_text_config().max_position_embeddings)
