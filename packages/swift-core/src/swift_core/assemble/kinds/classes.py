"""Rows of the stage seq_cls: a text with its class, its classes, or a number.

What the labels are is read from the data. The classes are named by all labels of the training rows: whole numbers are
classes 0 to the largest, words are sorted; a list gives a text several.
"""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict

from swift_core.assemble.kinds.heads import named, padded_ids, read_whole
from swift_core.assemble.kinds.kind import Judgement
from swift_core.assemble.spans import RowMistake
from swift_core.assemble.template import Encoded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from swift_core.assemble.kinds.kind import Row, Sequences
    from swift_core.contracts.data import Record, TextEncoder
    from swift_core.contracts.handover import RunPlan

SINGLE, MULTI, NUMBERS = "single_label_classification", "multi_label_classification", "regression"
MOST_CLASSES = 10_000
"""A larger whole number as a label is refused: it is an id or an amount, and not a class."""

_SHOWN = 10


class ClassRow(TypedDict):
    """A row of the stage seq_cls."""

    input_ids: list[int]
    class_label: int | list[float] | float
    """The class; 1 or 0 for each class; or a number."""

    title: str
    """The label in words."""

    row: int


@dataclass(slots=True)
class ClassRows:
    """A text with its label."""

    needs: ClassVar[str] = "a text with a label"
    names: dict[str, int] = field(default_factory=dict)
    """Of the classes, with their indices."""

    problem_type: str = SINGLE

    def begin(self, records: Sequence[Record], plan: RunPlan) -> None:
        """Read the names of the classes from all training records."""
        labels = [label for record in records if (label := label_of(record)) is not None]
        if plan.loss.source.declared.get("learns_numbers"):
            self.problem_type, self.names = NUMBERS, {"number": 0}
            return
        self.problem_type = MULTI if any(isinstance(label, list) for label in labels) else SINGLE
        each = [one for label in labels for one in (label if isinstance(label, list) else [label])]
        if all(_is_whole(one) for one in each):
            names = [str(index) for index in range(min(max(each, default=0), MOST_CLASSES) + 1)]
        else:
            names = sorted({_name(one) for one in each if isinstance(one, str | int)})
        self.names = {name: index for index, name in enumerate(names)}

    def head_config(self) -> dict[str, Any]:
        """Return the classes by name."""
        return named(list(self.names), self.problem_type)

    def sequences(self, encoder: TextEncoder, record: Record, *, whole: bool) -> Sequences | None:
        """Return the text, or the prompt with its completion, as it stands."""
        if (record.text is None and record.prompt is None) or (label := label_of(record)) is None:
            return None
        self._label(label)
        ids = read_whole(
            encoder, record.text if record.prompt is None else record.prompt, record.completion, tools=record.tools
        )
        return (Encoded(ids, [False] * len(ids)),)

    def is_trainable(self, sequences: Sequences) -> bool:
        """Say whether there is a token to read the class from."""
        return bool(sequences[0].ids)

    def row(self, sequences: Sequences, record: Record, index: int) -> Row:
        """Return a `ClassRow`."""
        label = label_of(record)
        row: ClassRow = {
            "input_ids": sequences[0].ids,
            "class_label": self._label(label),
            "title": ", ".join(map(_name, label)) if isinstance(label, list) else _name(label),
            "row": index,
        }
        return dict(row)

    def finish(self, rows: list[Row]) -> list[Row]:
        """Return the rows as they are."""
        return rows

    def judge(
        self, rows: Sequence[Row], records: Sequence[Record], loss: Mapping[str, Any], *, trained: bool
    ) -> Judgement:
        """Count the rows of each class."""
        if self.problem_type == NUMBERS:
            values = [row["class_label"] for row in rows]
            return Judgement([], [f"labels are numbers, {min(values):g} to {max(values):g}"])
        names = list(self.names)
        counts = Counter(name for row in rows for name in self._applying(row["class_label"], names))
        shown = ", ".join(f"{name} ({counts[name]:,})" for name in names[:_SHOWN])
        rest = f", and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
        return Judgement([], [f"{len(names):,} classes: {shown}{rest}"])

    @staticmethod
    def _applying(label: Any, names: Sequence[str]) -> list[str]:
        if isinstance(label, list):
            return [name for name, applies in zip(names, label, strict=True) if applies]
        return [names[label]]

    def collator(self, pad_token_id: int) -> ClassCollator:
        """Return the collator."""
        return ClassCollator(pad_token_id, self.problem_type)

    def _label(self, label: Any) -> int | list[float] | float:
        if self.problem_type == NUMBERS:
            return _number(label)
        if self.problem_type == SINGLE:
            return self._class(label)
        if not isinstance(label, list):
            raise RowMistake("mixed-labels", f"This row has one label, {label!r}, and others a list.", "write a list")
        applying = {self._class(one) for one in label}
        return [float(index in applying) for index in range(len(self.names))]

    def _class(self, label: Any) -> int:
        if isinstance(label, float):
            raise RowMistake(
                "label-is-number",
                f"The label {label!r} is a number and no class.",
                "set train.loss_type: class_squared_error to learn numbers, or write classes as words or whole numbers",
            )
        name = _name(label)
        if self.problem_type == SINGLE and list(self.names) == [name]:
            message = f"Every training row has the label {name!r}, so there is nothing to tell apart."
            raise RowMistake("one-class", message, "give rows of at least two classes")
        if name in self.names:
            return self.names[name]
        if _is_whole(label) and (label < 0 or label > MOST_CLASSES):
            message = f"The label {label} is no class: classes are 0 to {MOST_CLASSES:,}."
            raise RowMistake("unknown-label", message, "number the classes from 0, or write them as words")
        close = difflib.get_close_matches(name, self.names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        known = ", ".join(list(self.names)[:_SHOWN]) + (", ..." if len(self.names) > _SHOWN else "")
        raise RowMistake(
            "unknown-label",
            f"No training row has the label {name!r}.{hint}",
            f"mend the label, or add such rows to data.dataset; its labels are {known}",
        )


def label_of(record: Record) -> Any:
    """Return the label column as read, as a list where it is one; None when there is none."""
    columns = record.columns
    label = columns.get("label") if columns.get("label") is not None else columns.get("labels")
    return list(label) if isinstance(label, list | tuple) else label


def _is_whole(label: Any) -> bool:
    return isinstance(label, int) and not isinstance(label, bool)


def _name(label: Any) -> str:
    """Return a label as the name of its class; raise RowMistake when it is none."""
    if isinstance(label, bool):
        return str(label).lower()
    if isinstance(label, str | int | float):
        return str(label)
    kind = "mapping" if isinstance(label, Mapping) else type(label).__name__
    raise RowMistake("label-type", f"A label is a word or a number, and this one is a {kind}.", "mend the label")


def _number(label: Any) -> float:
    if isinstance(label, bool) or not isinstance(label, int | float | str):
        raise RowMistake("label-is-no-number", f"The label {label!r} is no number.", "give a number")
    try:
        value = float(label)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        next_step = "give a number, or choose train.loss_type: class_cross_entropy to learn classes"
        raise RowMistake("label-is-no-number", f"The label {label!r} is no number.", next_step)
    return value


@dataclass(frozen=True, slots=True)
class ClassCollator:
    """Batches of the stage seq_cls."""

    pad_token_id: int
    problem_type: str

    def __call__(self, rows: Sequence[ClassRow]) -> dict[str, Tensor]:
        """Return input_ids and attention_mask, int64 [batch, time], rows, int64 [batch], and labels.

        Labels are int64 [batch], float32 [batch, class], or float32 [batch] of numbers.
        """
        import torch

        kind = torch.int64 if self.problem_type == SINGLE else torch.float32
        return padded_ids([row["input_ids"] for row in rows], self.pad_token_id) | {
            "labels": torch.tensor([row["class_label"] for row in rows], dtype=kind),
            "rows": torch.tensor([row["row"] for row in rows], dtype=torch.int64),
        }
