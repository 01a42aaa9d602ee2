"""The image half of a model's processor: what transformers makes of an image, in tokens and in numbers.

transformers' processors also hold what reads videos or sounds, which asks for further libraries (torchvision). Nothing
here reads these, so they are left out. Images go through the Pillow form of an image processor wherever there is one:
its pixels are the same on every machine.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from swift_core.assemble.vision.rows import INSTALL
from swift_core.contracts.images import MARK
from swift_core.plugins.remote_code import may_run
from swift_core.resolve.model_facts import read_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from PIL.Image import Image
    from torch import Tensor


FILES = ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json")
"""What a processor is made of, beside the tokenizer's files."""

_OF_TEXT = ("input_ids", "attention_mask", "text_replacement_offsets")
_TYPES = ("mm_token_type_ids", "token_type_ids")
"""What processors call the kind of each token: 0 text, 1 image."""


@dataclass(frozen=True)
class ImageProcessing:
    """The processor in a model's folder; it is opened when it is first used, in each process anew."""

    kind: ClassVar[str] = "image"
    """What it takes beside text, as chat templates call it."""

    mark: ClassVar[str] = MARK
    """What stands for it in a row."""

    _ids: ClassVar[tuple[str, ...]] = ("image_token_id", "image_token_index")

    folder: Path
    _opened: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)
    _known: dict[Any, tuple[str, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as the folder."""
        return type(self), (self.folder,)

    @property
    def processor(self) -> Any:
        """The processor of transformers.

        Raises:
            ValueError: There is none that can be used, or Pillow is not installed.
        """
        if not self._opened:
            with _OPENING:
                self._opened.append(open_processor(self.folder, self.kind))
        return self._opened[0]

    @property
    def image_token(self) -> str:
        """What a chat template writes for an image."""
        return str(getattr(self.processor, f"{self.kind}_token"))

    @property
    def image_token_id(self) -> int | None:
        """The token whose embedding the model replaces by an image, as its configuration says."""
        config = read_model(self.folder).config
        found = (config.get(name) for name in self._ids)
        return next((value for value in found if isinstance(value, int)), None)

    def texts(self, images: Sequence[Image]) -> tuple[str, ...]:
        """Return the text that each image of a row becomes; it follows from the sizes of the row's images."""
        sizes = tuple(image.size for image in images)
        if sizes not in self._known:
            replaced = self._called([images])["text_replacement_offsets"][0]
            self._known[sizes] = tuple(entry["replacement"] for entry in replaced)
        return self._known[sizes]

    def inputs(self, rows: Sequence[Sequence[Any]], input_ids: Tensor) -> dict[str, Tensor]:
        """Return what a model is given beside the tokens of a batch.

        Args:
            rows: The images of each row; a row may have none.
            input_ids: [row, time], in which images are their tokens already.

        Raises:
            ImageError: An image cannot be read.
        """
        import torch

        opened = [[image.open() for image in row] for row in rows if row]
        if not opened:
            return {}
        called = self._called(opened)
        inputs = not_of_text(called)
        types = torch.tensor(self.processor.create_mm_token_type_ids(input_ids.tolist()))
        return inputs | {name: types for name in _TYPES if name in called}

    def _called(self, rows: Sequence[Sequence[Any]]) -> Mapping[str, Any]:
        """Return what the processor makes of rows of nothing but images."""
        called: Mapping[str, Any] = self.processor(
            **self._given(rows),
            text=[self.image_token * len(row) for row in rows],
            return_text_replacement_offsets=True,
            add_special_tokens=False,
            padding=True,
            padding_side="right",
            return_tensors="pt",
        )
        return called

    def _given(self, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """Return the arguments by which the processor is handed what rows show."""
        return {"images": [list(row) for row in rows]}

    def fingerprint(self) -> str:
        """Return a hash of all that decides what an image becomes."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            pillow = version("pillow")
        except PackageNotFoundError:  # rows of text need none
            pillow = ""
        total = hashlib.sha256(json.dumps([version("transformers"), pillow]).encode())
        for name in (*FILES, "config.json"):
            file = self.folder / name
            total.update(name.encode() + (file.read_bytes() if file.is_file() else b""))
        return total.hexdigest()


def not_of_text(called: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return what a processor made of something else than text."""
    import torch

    return {
        name: torch.as_tensor(value) for name, value in called.items() if name not in _OF_TEXT and name not in _TYPES
    }


_OPENING = threading.Lock()


def open_processor(folder: Path, medium: str = "image") -> Any:
    """Return the processor of the model in `folder` with what reads text, and images or sounds.

    Args:
        folder: Of the model.
        medium: `image` or `audio`.

    Raises:
        ValueError: The model has none, or it does not tell which text an image becomes, or Pillow is not installed.
    """
    import importlib.util

    if medium == "image" and importlib.util.find_spec("PIL") is None:
        raise ValueError(f"images need Pillow, which is not installed: {INSTALL}")
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=may_run(folder))
    kind = _images_alone(_processor_class(config))
    settings, _ = kind.get_processor_dict(folder)
    try:
        parts = [_part(name, folder, medium) for name in kind.get_attributes()]
        processor = kind.from_args_and_dict(parts, settings)
    except (OSError, ValueError, TypeError, ImportError, AttributeError) as error:
        raise ValueError(f"the processor of {folder} cannot be opened: {_first_line(error)}") from error
    if getattr(processor, f"{medium}_token", None) is None:
        raise ValueError(f"{kind.__name__} does not tell which token stands for an {medium}")
    return processor


def _processor_class(config: Any) -> Any:
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    try:
        return PROCESSOR_MAPPING[type(config)]
    except KeyError as error:
        raise ValueError(f"transformers knows no processor for models of the type {config.model_type}") from error


def _images_alone(kind: Any) -> Any:
    """Return the processor class with a constructor that takes None for what is left out."""

    def checked(self: Any, argument_name: str, argument: Any) -> Any:
        return None if argument is None else kind.check_argument_for_proper_class(self, argument_name, argument)

    return type(kind.__name__, (kind,), {"check_argument_for_proper_class": checked, "__init__": kind.__init__})


def _part(name: str, folder: Path, medium: str) -> Any:
    """Return a part of a processor, None for one that reads something else than text and `medium`."""
    from transformers import AutoFeatureExtractor, AutoImageProcessor

    from swift_core.assemble.model import load_tokenizer

    if name == "tokenizer":
        return load_tokenizer(folder)
    if name == "feature_extractor" and medium == "audio":
        return AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=may_run(folder))
    if name == "image_processor" and medium == "image":
        return AutoImageProcessor.from_pretrained(folder, backend="pil", trust_remote_code=may_run(folder))
    return None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def keep_processor(source: Path, target: Path) -> None:
    """Put the processor's files beside a model that was trained; the tokenizer and its template are written by it."""
    for name in FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
