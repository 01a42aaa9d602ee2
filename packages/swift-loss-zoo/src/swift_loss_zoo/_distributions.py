"""Divergences between two next-token distributions, given as log-probabilities over the same tokens.

    D_beta(P, Q) = beta * KL(P || M) + (1 - beta) * KL(Q || M)        M = beta * P + (1 - beta) * Q

P is the teacher and Q the student. D itself goes to 0 with beta, and D / beta to KL(P || Q): by definition beta 0 is
that forward divergence KL(P || Q), and beta 1 the reverse one, KL(Q || P). Agarwal et al., 2023,
arXiv:2306.13649, eq. 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def kl(first: Tensor, second: Tensor) -> Tensor:
    """Return KL(first || second) of log-probabilities [..., token] -> [...]; a token that `first` excludes adds 0."""
    difference = torch.where(first.isneginf(), 0, first - second)
    return (first.exp() * difference).sum(-1)


def generalised_jsd(teacher: Tensor, student: Tensor, beta: float) -> Tensor:
    """Return D_beta of log-probabilities [..., token] -> [...]."""
    if beta == 0:
        return kl(teacher, student)
    if beta == 1:
        return kl(student, teacher)
    excluded = teacher.isneginf() & student.isneginf()  # logaddexp has no gradient there
    parts = [torch.where(excluded, 0, logps) for logps in (teacher + math.log(beta), student + math.log1p(-beta))]
    mixture = torch.where(excluded, -torch.inf, torch.logaddexp(parts[0], parts[1]))
    return beta * kl(teacher, mixture) + (1 - beta) * kl(student, mixture)


def with_rest(named: Tensor) -> Tensor:
    """Append the log of the probability that is left, [..., k] -> [..., k + 1]; probabilities above 1 leave none."""
    total = named.logsumexp(-1, keepdim=True).clamp(max=-torch.finfo(named.dtype).eps)
    return torch.cat([named, (-torch.expm1(total)).log()], -1)


def require_share(**values: float) -> None:
    """Raise ValueError unless every value lies in [0, 1]."""
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be in [0, 1], got {value}")
