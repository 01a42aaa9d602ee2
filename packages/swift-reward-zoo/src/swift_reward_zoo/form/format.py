"""Format: 1 when a response is thinking and then an answer, each in its tag, else 0.

    <think>thoughts</think> <answer>answer</answer>

Each tag occurs exactly once, in this order, around more than white space; nothing stands outside but white space. The
template of DeepSeek-R1: Guo et al., 2025, arXiv:2501.12948.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swift_core.plugin_api import InferRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """Whether a response is thinking and then an answer, each in its tag: 1.0 or 0.0."""

    answer_tag: bool = True
    """False lets the answer stand after the thinking without a tag of its own."""

    think_opened: bool = False
    """True when the prompt already ends in `<think>`, so that the response does not begin with it."""

    def __call__(self, infer_requests: Sequence[InferRequest]) -> list[float]:
        """Return 1.0 for each response of the format, else 0.0."""
        return [float(self._keeps(request.response or "")) for request in infer_requests]

    def _keeps(self, response: str) -> bool:
        text = f"<think>{response}" if self.think_opened else response
        tags = ["<think>", "</think>"] + ["<answer>", "</answer>"] * self.answer_tag
        outside, thoughts, *rest = pieces(text, tags) or ["outside", ""]
        if outside.strip() or not thoughts.strip():
            return False
        if not self.answer_tag:
            return bool(rest[0].strip())
        between, answer, after = rest
        return bool(answer.strip()) and not between.strip() and not after.strip()


def pieces(text: str, tags: Sequence[str]) -> list[str] | None:
    """Return what stands before, between and after `tags`; None unless each occurs once, in this order."""
    if any(text.count(tag) != 1 for tag in tags):
        return None
    found = []
    for tag in tags:
        before, present, text = text.partition(tag)
        if not present:
            return None
        found.append(before)
    return [*found, text]
