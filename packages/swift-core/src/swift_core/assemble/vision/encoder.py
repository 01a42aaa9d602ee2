"""The encoder of a model that sees images: the tokenizer and chat template, and per row the tokens of its images.

A turn's mark `<image>` becomes what the chat template writes for an image, which holds the model's image token once.
Each image token is then replaced by the text that the processor makes of that image. Places in the text stay those
before the replacement: all tokens of an image stand where its one image token stood.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from swift_core.assemble.encoder import HfEncoder
from swift_core.assemble.head import hears_sounds, sees_images
from swift_core.assemble.spans import RowMistake
from swift_core.assemble.vision.dual import DualEncoder
from swift_core.assemble.vision.parts import as_parts
from swift_core.assemble.vision.processor import ImageProcessing, keep_processor
from swift_core.assemble.vision.sounds import SoundProcessing
from swift_core.contracts.images import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

    from swift_core.assemble.spans import Span
    from swift_core.contracts.data import Message
    from swift_core.contracts.images import ImageRef

_PROBE = "probe"


class VisionEncoder(HfEncoder):
    """What the rows of a run have in common; `with_images` is the encoder of one row."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        template_kwargs: Mapping[str, Any] | None,
        processing: ImageProcessing,
    ) -> None:
        """Wrap `tokenizer`; the processor is opened with the first image."""
        super().__init__(tokenizer, template_kwargs)
        self.processing = processing
        self.modalities = (processing.kind,)
        """What rows may have beside text."""

        stray = processing.image_token_id
        self.stray = "" if stray is None else self.decode([stray])
        """The token that the model replaces by an image, wherever it stands."""

    def fingerprint(self) -> str:
        """Return a hash of all that decides which tokens a text with images becomes."""
        both = super().fingerprint() + self.processing.fingerprint()
        return hashlib.sha256(both.encode()).hexdigest()

    def with_images(self, images: Sequence[ImageRef]) -> RowEncoder:
        """Return the encoder of a row that has `images`, of which there may be none."""
        return RowEncoder(self, tuple(images))

    @cached_property
    def written(self) -> str:
        """What the chat template writes for an image; the bare image token where there is no template."""
        try:
            bare = self.render([_turn([{"type": "text", "text": _PROBE}])])
            seen = self.render([_turn([{"type": self.processing.kind}, {"type": "text", "text": _PROBE}])])
        except ValueError:
            return self.processing.image_token
        start = next((i for i, (a, b) in enumerate(zip(bare, seen, strict=False)) if a != b), len(bare))
        added = seen[start : len(seen) - len(bare) + start]
        return added if added.count(self.processing.image_token) == 1 else self.processing.image_token

    @cached_property
    def takes_parts(self) -> bool:
        """Whether the chat template writes an image where a turn has a part of the type `image`."""
        try:
            text = self.render([_turn([{"type": self.processing.kind}, {"type": "text", "text": _PROBE}])])
        except ValueError:
            return False
        return text.count(self.processing.image_token) == 1 and text.count(_PROBE) == 1 and "'type'" not in text

    @cached_property
    def frame_ids(self) -> frozenset[int]:
        """Special tokens that the template writes around an image, the image token among them."""
        return self.special_ids(self.written)

    def save_processor(self, folder: Path) -> None:
        """Put the model's processor beside what was trained of it."""
        keep_processor(self.processing.folder, folder)

    def special_ids(self, text: str) -> frozenset[int]:
        """Return the special tokens of `text`."""
        return frozenset(token for token in self.encode(text) if self.decode([token]) in self.special_tokens)


def encoder_for(
    tokenizer: PreTrainedTokenizerBase, template_kwargs: Mapping[str, Any] | None, folder: Path, head: str = "causal_lm"
) -> HfEncoder:
    """Return the encoder of the model in `folder`, which may see images; `head` is what its procedure declares.

    Raises:
        ValueError: A model with two encoders has no image processor.
    """
    if head == "dual_encoder":
        return DualEncoder(tokenizer, folder)
    if sees_images(folder):
        return VisionEncoder(tokenizer, template_kwargs, ImageProcessing(folder))
    if hears_sounds(folder):
        return VisionEncoder(tokenizer, template_kwargs, SoundProcessing(folder))
    return HfEncoder(tokenizer, template_kwargs)


def _turn(parts: list[dict[str, Any]]) -> Message:
    return cast("Message", {"role": "user", "content": parts})


@dataclass(frozen=True)
class RowEncoder:
    """A `TextEncoder` for one row, whose images it knows."""

    base: VisionEncoder
    images: tuple[ImageRef, ...]

    @property
    def eos_token_id(self) -> int:
        """The end-of-text token."""
        return self.base.eos_token_id

    @property
    def pad_token_id(self) -> int:
        """The padding token."""
        return self.base.pad_token_id

    @property
    def opening_ids(self) -> Sequence[int]:
        """Tokens before plain text."""
        return self.base.opening_ids

    @property
    def special_tokens(self) -> frozenset[str]:
        """Texts of all special tokens."""
        return self.base.special_tokens

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """What each image becomes.

        Raises:
            RowMistake: An image cannot be read, or the processor refuses it.
        """
        if not self.images:
            return ()
        try:
            return self.base.processing.texts([image.open() for image in self.images])
        except ImageError as error:
            raise RowMistake(
                error.code, f"An {self.base.processing.kind} of the row {error}.", error.next_step
            ) from error
        except ValueError as error:
            kind = self.base.processing.kind
            raise RowMistake(
                f"{kind}-refused", f"The model's processor refuses an {kind} of the row: {error}.", f"mend the {kind}"
            ) from error

    @cached_property
    def image_ids(self) -> frozenset[int]:
        """Tokens that images and their frames consist of; none of them is ever trained."""
        if not self.images:
            return frozenset()
        return self.base.frame_ids.union(*(self.base.special_ids(text) for text in set(self.texts)))

    def places_of_images(self, ids: Sequence[int]) -> list[Span]:
        """Return the tokens [start, end) of each image in a row, in order."""
        places, at = [], 0
        for text in self.texts:
            own = self.base.encode(text)
            start = next(place for place in range(at, len(ids)) if list(ids[place : place + len(own)]) == own)
            at = start + len(own)
            places.append((start, at))
        return places

    def encode(self, text: str) -> list[int]:
        """Return the tokens of `text`, with those of images for their image tokens.

        Raises:
            RowMistake: `text` has not one image token for each image.
        """
        return self.base.encode(self._expanded(text)[0])

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[Span]]:
        """Return the tokens of `text` with those of images, and the characters [start, end) of `text` of each.

        Raises:
            RowMistake: `text` has not one image token for each image.
        """
        expanded, pieces = self._expanded(text)
        ids, offsets = self.base.encode_with_offsets(expanded)
        return ids, (_moved(offsets, pieces) if pieces else offsets)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`."""
        return self.base.decode(ids)

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        add_generation_prompt: bool = False,
    ) -> str:
        """Return the conversation as one string, each image one image token in it."""
        return self.base.render(self._shown(messages), tools=tools, add_generation_prompt=add_generation_prompt)

    def generation_marks(
        self, messages: Sequence[Message], *, tools: Sequence[Mapping[str, Any]] = ()
    ) -> list[tuple[int, int]]:
        """Return the characters of `render` that the template's generation blocks wrote."""
        return self.base.generation_marks(self._shown(messages), tools=tools)

    def _shown(self, messages: Sequence[Message]) -> list[Message]:
        """Return the turns with marks as the template takes images: parts of a turn, or the image token."""
        if not self.images:
            return list(messages)
        return [self._with_images(turn) if self._mark in turn["content"] else turn for turn in messages]

    def _with_images(self, turn: Message) -> Message:
        content = turn["content"]
        if self.base.takes_parts:
            return cast("Message", {**turn, "content": as_parts(content, self._mark, self.base.processing.kind)})
        return {**turn, "content": content.replace(self._mark, self._token)}

    def _expanded(self, text: str) -> tuple[str, list[tuple[Span, Span]]]:
        """Return `text` with images, and for each its characters in the result and in `text`."""
        places = self._places(text)
        if len(places) != len(self.images):
            raise self._disagree(len(places))
        if not places:
            return text, []
        parts, pieces, at, length = [], [], 0, 0
        for (start, end), image in zip(places, self.texts, strict=True):
            shown = image if text[start:end] == self._token else self.base.written.replace(self._token, image)
            parts += [text[at:start], shown]
            length += start - at
            pieces.append(((length, length + len(shown)), (start, end)))
            at, length = end, length + len(shown)
        return "".join([*parts, text[at:]]), pieces

    @property
    def _mark(self) -> str:
        return self.base.processing.mark

    @property
    def _token(self) -> str:
        return self.base.processing.image_token

    def _places(self, text: str) -> list[Span]:
        """Return where images stand in `text`: image tokens; of plain text, which no template wrote, marks as well."""
        tokens = (self._token, self._mark) if self.images else (self.base.stray,) if self.base.stray else ()
        return [found.span() for token in tokens[:1] for found in re.finditer("|".join(map(re.escape, tokens)), text)]

    def _disagree(self, found: int) -> RowMistake:
        token = self._token if self.images else self.base.stray
        kind = self.base.processing.kind
        images = f"1 {kind}" if len(self.images) == 1 else f"{len(self.images) or 'no'} {kind}s"
        return RowMistake(
            "image-tokens",
            f"The row has {images}, and the model's {kind} token {token} stands in its text "
            f"{found} {'time' if found == 1 else 'times'}, as the chat template writes it.",
            f"write {self._mark} once for each {kind} and nothing else that reads {token}, or mend model.chat_template",
        )


def _moved(offsets: Sequence[Span], pieces: Sequence[tuple[Span, Span]]) -> list[Span]:
    """Return offsets in the text with images as offsets in the text before; pieces are in order, as tokens are."""
    moved: list[Span] = []
    index, shift = 0, 0
    for start, end in offsets:
        while index < len(pieces) and start >= pieces[index][0][1]:
            shift = pieces[index][1][1] - pieces[index][0][1]
            index += 1
        new_start, new_end = start + shift, end + shift
        if index < len(pieces):
            (low, high), (first, last) = pieces[index]
            if start >= low:
                new_start = first
            if end > low:
                new_end = last if end <= high else end + last - high
        moved.append((new_start, new_end))
    return moved
