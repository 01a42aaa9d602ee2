"""Tag count: the share of the tags that occur exactly once.

    score = tags that occur exactly once / tags asked for

With the tags `think` and `answer` each of the four, opening and closing, is worth 0.25. It pays for partial progress
towards `format` and says nothing about the order. The template of DeepSeek-R1: Guo et al., 2025, arXiv:2501.12948.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swift_core.plugin_api import InferRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class TagCount:
    """The share of opening and closing tags that occur exactly once, in [0, 1]."""

    tags: tuple[str, ...] = ("think", "answer")
    """Names of the tags, without brackets; at least one, none twice."""

    def __post_init__(self) -> None:
        """Check the options."""
        well_formed = all(isinstance(tag, str) and re.fullmatch(r"[\w.-]+", tag) for tag in self.tags)
        if isinstance(self.tags, str) or not self.tags or not well_formed or len(set(self.tags)) < len(self.tags):
            raise ValueError(f"tags must be one or more different names without brackets, got {self.tags!r}")

    def __call__(self, infer_requests: Sequence[InferRequest]) -> list[float]:
        """Return the share of each response."""
        wanted = [mark for tag in self.tags for mark in (f"<{tag}>", f"</{tag}>")]
        return [
            sum((request.response or "").count(mark) == 1 for mark in wanted) / len(wanted)
            for request in infer_requests
        ]
