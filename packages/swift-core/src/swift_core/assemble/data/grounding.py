"""Boxes of a row: what `objects` says is written for the marks `<ref-object>` and `<bbox>` of its turns.

    {"ref": ["a dog"], "bbox": [[x1, y1, x2, y2]], "bbox_type": "real" | "norm1" | "norm1000", "image_id": [0]}

`bbox_type` says what the numbers are: pixels of the image (the default), shares of its width and height, or thousandths
of them; `data.bbox_scale` says what they become. `image_id` says which image a box is on; left out, the first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from swift_core.assemble.data.images import texts_of

if TYPE_CHECKING:
    from swift_core.contracts.data import Record
    from swift_core.contracts.handover import RunPlan

REF, BOX = "<ref-object>", "<bbox>"
_MARKS = re.compile("<ref-object>|<bbox>")
_NAMES = ("prompt", "text", "completion")
_TYPES = ("real", "norm1", "norm1000")
_KEYS = ("ref", "bbox", "bbox_type", "image_id")
_TOLERANCE = 1.0
"""Pixels that a box may stand over the edge: it is cut there."""


@dataclass(frozen=True, slots=True)
class BoxWriter:
    """How boxes are written in a run."""

    scale: str
    box_text: str
    ref_text: str

    def written(self, record: Record) -> Record:
        """Return `record` with its marks replaced; raise ValueError when they and `objects` disagree."""
        if record.objects is None:
            return record
        refs, boxes = self._texts(record)
        for name in ("chosen", "rejected", "reference"):
            if any(mark in text for text in texts_of(getattr(record, name)) for mark in (REF, BOX)):
                raise ValueError(f"marks of objects stand in prompts; write the numbers into the {name} answer")
        given = {REF: iter(refs), BOX: iter(boxes)}
        said = [text for name in _NAMES for text in texts_of(getattr(record, name))]
        found = {mark: sum(text.count(mark) for text in said) for mark in given}
        for mark, texts in ((REF, refs), (BOX, boxes)):
            if found[mark] != len(texts):
                key = "ref" if mark == REF else "bbox"
                raise ValueError(f"objects.{key} has {len(texts)} and the turns hold {mark} {found[mark]} times")
        changed = {name: _replaced(side, given) for name in _NAMES if (side := getattr(record, name)) is not None}
        return replace(record, objects=None, **changed)

    def _texts(self, record: Record) -> tuple[list[str], list[str]]:
        """Return what is written for each thing and each box."""
        objects: Mapping[str, Any] = record.objects or {}
        if unknown := [key for key in objects if key not in _KEYS]:
            raise ValueError(f"objects has {', '.join(_KEYS)}, and not {unknown[0]}")
        refs, boxes = _listed(objects, "ref"), _listed(objects, "bbox")
        kind = objects.get("bbox_type") or "real"
        if kind not in _TYPES:
            raise ValueError(f"objects.bbox_type must be real, norm1 or norm1000, got {kind!r}")
        images = _listed(objects, "image_id") or [0] * len(boxes)
        if len(images) != len(boxes):
            raise ValueError(f"objects.image_id has {len(images)} numbers, and there are {len(boxes)} boxes")
        if not all(isinstance(ref, str) and ref for ref in refs):
            raise ValueError("objects.ref must be a list of texts, none of them empty")
        pairs = zip(boxes, images, strict=True)
        made = [self._box(record, index, box, image, kind) for index, (box, image) in enumerate(pairs)]
        return [self.ref_text.replace("{ref}", ref) for ref in refs], made

    def _box(self, record: Record, index: int, box: Any, image: Any, kind: str) -> str:
        place = f"objects.bbox[{index}]"
        numbers = list(box) if isinstance(box, Sequence) and not isinstance(box, str) else []
        if len(numbers) != 4 or not all(_is_number(each) for each in numbers):
            raise ValueError(f"{place} must be x1, y1, x2, y2, got {str(box)[:60]}")
        if isinstance(image, bool) or not isinstance(image, int) or not 0 <= image < len(record.images):
            raise ValueError(f"objects.image_id[{index}] must be the number of an image from 0, got {image!r}")
        size = record.images[image].size() if "real" in (kind, self._target) else (1, 1)
        ends = [_ENDS.get(kind, size[axis % 2]) for axis in range(4)]
        numbers = [_inside(each, end, kind) for each, end in zip(numbers, ends, strict=True)]
        if None in numbers or numbers[0] > numbers[2] or numbers[1] > numbers[3]:
            whole = f"an image of {size[0]} x {size[1]} pixels" if kind == "real" else f"0 to {_ENDS[kind]:g}"
            raise ValueError(f"{place} must be x1, y1, x2, y2 inside {whole}, got {list(box)}")
        lengths = [_ENDS.get(self._target, size[axis % 2]) for axis in range(4)]
        made = [each / end * length for each, end, length in zip(numbers, ends, lengths, strict=True)]
        texts = [f"{each:.3f}" if self.scale == "norm1" else str(round(each)) for each in made]
        return self.box_text.format(**dict(zip(("x1", "y1", "x2", "y2"), texts, strict=True)))

    @property
    def _target(self) -> str:
        return "real" if self.scale == "pixels" else self.scale


def writer_of(plan: RunPlan) -> BoxWriter:
    """Return how the run file has boxes written."""
    data = plan.settings.data
    return BoxWriter(data.bbox_scale, data.bbox_text, data.ref_text)


def _inside(number: float, end: float, kind: str) -> Any:
    """Return a coordinate, cut at the edge; None where it is further out."""
    slack = _TOLERANCE if kind == "real" else 1e-6 * end
    return min(max(float(number), 0.0), float(end)) if -slack <= number <= end + slack else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _listed(objects: Mapping[str, Any], key: str) -> list[Any]:
    value = objects.get(key)
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise ValueError(f"objects.{key} must be a list, got {str(value)[:60]}")
    return list(value)


def _replaced(side: Any, given: Mapping[str, Iterator[str]]) -> Any:
    """Return text or turns with the next thing or box in place of each mark."""
    if isinstance(side, str):
        return _MARKS.sub(lambda match: next(given[match[0]]), side)
    return [{**turn, "content": _replaced(turn["content"], given)} for turn in side]


_ENDS = {"norm1000": 1000.0, "norm1": 1.0}
"""What the right and lower edges are called; of `real`, the image says it."""
