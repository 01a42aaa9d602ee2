"""Drawing tokens by numbers that belong to an answer, and not by a generator that all answers share.

Token v is taken where

    cdf(v - 1) <= u < cdf(v),        cdf(v) = sum over w <= v of softmax(scores)(w)

and u in [0, 1) is the answer's own number for this place. Prompts that are answered beside it, on this process or on
others, thus have no part in what is drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from swift_core.contracts.engine import SamplingParams


class OwnNumbers:
    """Leaves of each row's scores the one token that the row's number falls on; `generate` then takes the likeliest."""

    def __init__(self, seeds: Sequence[int], num_tokens: int, prompt_length: int, device: Any) -> None:
        """Draw all numbers beforehand, on the CPU, so that they are the same on every device.

        Args:
            seeds: One for each row.
            num_tokens: Longest answer.
            prompt_length: Where answers begin, padding included.
            device: Of the scores.
        """
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        numbers = [torch.rand(num_tokens, generator=each, dtype=torch.float64) for each in generators]
        self._numbers, self._start = torch.stack(numbers).to(device), prompt_length

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return scores [row, vocabulary] of 0 for the drawn token and of minus infinity for all others."""
        ends = scores.float().softmax(-1).cumsum(-1, dtype=torch.float64)
        place = input_ids.shape[1] - self._start
        aims = self._numbers[:, place : place + 1] * ends[:, -1:]
        drawn = torch.searchsorted(ends, aims, right=True).clamp_(max=scores.shape[-1] - 1)
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn, 0.0)


def drawing(params: SamplingParams, seeds: Sequence[int], prompt_length: int, device: Any) -> Any:
    """Return what `generate` shall do with scores, so that its likeliest token is one drawn as `params` say."""
    steps: list[Any] = [TemperatureLogitsWarper(float(params.temperature))]
    steps += [TopKLogitsWarper(params.top_k)] if params.top_k else []
    steps += [TopPLogitsWarper(float(params.top_p))] if params.top_p < 1 else []
    return LogitsProcessorList([*steps, OwnNumbers(seeds, params.max_tokens, prompt_length, device)])
