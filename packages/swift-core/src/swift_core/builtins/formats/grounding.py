"""Things and where they are: `{"image": ..., "objects": {"ref": ["a dog"], "bbox": [[10, 20, 60, 80]]}}`.

The user asks where the things are and the assistant answers with their boxes. One thing may have several boxes; of
several things each has one. Conversations that hold `<ref-object>` and `<bbox>` themselves are of the other formats.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from swift_core.builtins.formats import _turns
from swift_core.contracts.data import Record

_OTHERS = (*_turns.OTHER_ANSWERS, "prompt", "question", "caption", "text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounding:
    """Things on an image and their boxes, which are trained."""

    columns: ClassVar[tuple[str, ...]] = ("objects",)
    evidence: ClassVar[str] = "image and objects.ref, objects.bbox"

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Say whether `row` has things and boxes, and no conversation about them."""
        objects = row.get("objects")
        has_boxes = isinstance(objects, Mapping) and "ref" in objects and "bbox" in objects
        return has_boxes and _turns.has_image(row) and _turns.lacks(row, *_OTHERS)

    def record(self, row: Mapping[str, Any], where: str) -> Record:
        """Return the question for the things as prompt and the boxes as completion."""
        value = row.get("objects")
        objects = dict(value) if isinstance(value, Mapping) else {}
        refs, boxes = objects.get("ref"), objects.get("bbox")
        if not isinstance(refs, list) or not isinstance(boxes, list) or not refs or not boxes:
            raise ValueError("objects.ref and objects.bbox must be lists, neither empty")
        if len(refs) == 1:
            asked, answer = "Locate <ref-object>.", ", ".join(["<bbox>"] * len(boxes))
        elif len(refs) == len(boxes):
            asked = f"Locate each of these: {', '.join(['<ref-object>'] * len(refs))}."
            answer = "\n".join(["<ref-object>: <bbox>"] * len(refs))
            objects["ref"] = [*refs, *refs]
        else:
            raise ValueError(f"objects has {len(refs)} things and {len(boxes)} boxes; several things have one box each")
        return Record(
            where=where,
            prompt=[{"role": "user", "content": asked}],
            completion=[{"role": "assistant", "content": answer}],
            objects=objects,
            columns=dict(row),
        )
