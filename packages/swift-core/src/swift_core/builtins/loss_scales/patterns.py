"""Weights by pattern, given in the run file or in a YAML or JSON file beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from swift_core.builtins.loss_scales._pieces import weighed
from swift_core.contracts.models import run_folder


@dataclass(frozen=True, kw_only=True)
class Patterns:
    """Weigh what patterns match; text that nothing matches weighs 1."""

    marks: dict[str, Any] = field(default_factory=dict)
    """Plain text -> weight, or [weight of the text, weight of what follows it up to the next mark]."""

    patterns: dict[str, float] = field(default_factory=dict)
    """Regular expression -> weight of what it matches; `.` matches line breaks; later ones win."""

    file: str = ""
    """A YAML or JSON file with such a map, relative to the run file; entries with two numbers are marks, those with one
    are expressions."""

    file_options: ClassVar[tuple[str, ...]] = ("file",)

    def __post_init__(self) -> None:
        if self.file:
            self._read()
        if not self.marks and not self.patterns:
            raise ValueError("loss scale patterns needs marks, patterns or a file, got none")
        for pattern, weight in self.patterns.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"patterns: {pattern!r} is no regular expression: {error}") from error
            _require_weights(pattern, [weight])
        for mark, given in self.marks.items():
            pair = given if isinstance(given, list | tuple) else [given, given]
            if len(pair) != 2:
                raise ValueError(f"marks: {mark!r} must have one weight or two, got {given!r}")
            _require_weights(mark, pair)

    def _read(self) -> None:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError

        try:
            entries = YAML(typ="safe").load((run_folder() / self.file).read_text(encoding="utf-8"))
        except (OSError, ValueError, YAMLError) as error:
            raise ValueError(f"file {self.file!r} cannot be read as YAML or JSON: {error}") from error
        if not isinstance(entries, dict):
            raise ValueError(f"file {self.file!r} must hold a map of patterns to weights, got {type(entries).__name__}")
        read: dict[bool, dict[str, Any]] = {True: {}, False: {}}
        for pattern, weight in entries.items():
            single = [weight] if not isinstance(weight, list) else weight
            read[len(single) == 1][pattern] = single[0] if len(single) == 1 else single
        object.__setattr__(self, "patterns", {**read[True], **self.patterns})
        object.__setattr__(self, "marks", {**read[False], **self.marks})

    def get_loss_scale(
        self, context: str, context_type: Literal["query", "response", "system", "other"], is_last_round: bool, /
    ) -> tuple[Sequence[str], Sequence[float]]:
        """Return the context in pieces, with their weights."""
        return weighed(context, self.marks, self.patterns)


def _require_weights(name: str, weights: Sequence[Any]) -> None:
    for weight in weights:
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
            raise ValueError(f"the weight of {name!r} must be a finite number >= 0, got {weight!r}")
