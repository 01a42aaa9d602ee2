"""Scored answers as micro-batches that losses are computed on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from swift_core.assemble.kinds.kind import IGNORED, padded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from swift_core.train.policy.pairs import Pair
    from swift_core.train.policy.rollouts import Rollouts
    from swift_core.train.policy.samples import Sample


def training_batch(samples: Sequence[Sample], pad_token_id: int, *, mask_truncated: bool) -> dict[str, Any]:
    """Return int64 input_ids, attention_mask and labels [row, time], and float32 advantages [row].

    Labels are set on the tokens that the model wrote; with `mask_truncated` not on those of answers that were cut.
    """
    left_out = [mask_truncated and not sample.rollout.finished for sample in samples]
    batch = _sequences([_labelled(s, trained=not out) for s, out in zip(samples, left_out, strict=True)], pad_token_id)
    return batch | {"advantages": torch.tensor([sample.advantage for sample in samples], dtype=torch.float32)}


def pair_batch(pairs: Sequence[Pair], spare: Sample, pad_token_id: int) -> dict[str, Any]:
    """Return int64 input_ids, attention_mask, labels [2 * pair, time] and rows [pair], float32 margins [pair].

    First every chosen sequence, then every rejected one. Without a pair there are two sequences all the same, of the
    answer `spare`, so that the model runs on every process: no pair, and so no loss, is made of them.
    """
    chosen, rejected = [pair.chosen for pair in pairs], [pair.rejected for pair in pairs]
    samples = [*chosen, *rejected] or [spare, spare]
    batch = _sequences([_labelled(sample, trained=True) for sample in samples], pad_token_id)
    return batch | {
        "margins": torch.tensor([pair.margin for pair in pairs], dtype=torch.float32),
        "rows": torch.tensor([pair.chosen.prompt["row"] for pair in pairs], dtype=torch.int64),
    }


def own_answers(
    rollouts: Rollouts, batches: Sequence[Mapping[str, Tensor]], step: int, pad_token_id: int
) -> list[dict[str, Any]]:
    """Return batches with the prompts of `batches`, up to the first trained token, and answers drawn now."""
    result = []
    for index, batch in enumerate(batches):
        prompts = []
        for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
            first = int((labels != IGNORED).to(torch.int8).argmax())
            prompts.append(ids[:first].tolist())
        drawn = [answers[0] for answers in rollouts.plain(prompts, step, index)]
        ids = [[*rollout.prompt_ids, *rollout.answer_ids] for rollout in drawn]
        labels = [[IGNORED] * len(rollout.prompt_ids) + [*rollout.answer_ids] for rollout in drawn]
        result.append(padded(ids, labels, pad_token_id) | {"rows": batch["rows"]})
    return result


def set_advantages(
    groups: Sequence[Sequence[Sample]],
    weights: Mapping[str, float],
    estimator: Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor],
    reduce: Callable[[Tensor], Tensor],
) -> None:
    """Give every answer its advantage, in place."""
    rewards = torch.tensor([[sample.total(weights) for sample in group] for group in groups], dtype=torch.float64)
    for group, row in zip(groups, estimator(rewards, reduce).tolist(), strict=True):
        for sample, advantage in zip(group, row, strict=True):
            sample.advantage = advantage


def _labelled(sample: Sample, *, trained: bool) -> tuple[list[int], list[int]]:
    """Return the tokens of a prompt with its answer, and labels on those that the model wrote itself."""
    prompt, answer = list(sample.rollout.prompt_ids), list(sample.rollout.answer_ids)
    own = sample.rollout.trained or [True] * len(answer)
    labels = [token if trained and wrote else IGNORED for token, wrote in zip(answer, own, strict=True)]
    return prompt + answer, [IGNORED] * len(prompt) + labels


def _sequences(parts: Sequence[tuple[list[int], list[int]]], pad_token_id: int) -> dict[str, Any]:
    batch: dict[str, Any] = padded([ids for ids, _ in parts], [labels for _, labels in parts], pad_token_id)
    return batch
