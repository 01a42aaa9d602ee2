"""How often an image finds its text among all held-out texts, and a text its image (recall at k, mean reciprocal rank).

    recall_k = share of queries with one of their own among the k most similar
    mrr = mean over queries of 1 / (place of the first of their own)

Equal images are one image, and so are equal texts: an image with several texts has found one when any of them comes
first, as on Flickr30k and MS-COCO. What is as similar as a query's own counts as more similar, so that a model that
makes everything equal finds nothing. Similarities are formed a few queries at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from torch import Tensor

    from swift_core.contracts.contrastive import ContrastiveOutputs
    from swift_core.contracts.metric import Predictions

_CHUNK = 1024
"""Queries whose similarities exist at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """Recall in both directions, over all held-out rows together."""

    at: tuple[int, ...] = (1, 5, 10)
    """Which k of recall are reported, each >= 1."""

    eats: ClassVar[Literal["predictions"]] = "predictions"
    families: ClassVar[tuple[str, ...]] = ("ContrastiveOutputs",)

    def __post_init__(self) -> None:
        """Check the options."""
        if not self.at or any(k < 1 for k in self.at):
            raise ValueError(f"at must list numbers >= 1, got {list(self.at)}")

    def preprocess_outputs(self, outputs: ContrastiveOutputs, /) -> Tensor:
        """Return the embeddings, [pair, 2, dimension]: image and text."""
        import torch

        return torch.stack([outputs.image_embeds, outputs.text_embeds], dim=1)

    def compute(self, evaluation: Predictions, /) -> dict[str, float]:
        """Return `image_to_text_recall_K`, `text_to_image_recall_K`, and the mean reciprocal ranks, all in [0, 1]."""
        import torch

        embeds, keys = torch.cat(list(evaluation.values)), torch.cat(list(evaluation.labels))
        images, image_of = _distinct(keys[:, 0])
        texts, text_of = _distinct(keys[:, 1])
        figures: dict[str, float] = {}
        sides = {"image_to_text": (0, 1), "text_to_image": (1, 0)}
        first, of = (images, texts), (image_of, text_of)
        for name, (asks, holds) in sides.items():
            places = _places(embeds[first[asks], asks], embeds[first[holds], holds], of[asks], of[holds]).double()
            figures |= {f"{name}_recall_{k}": float((places <= k).double().mean()) for k in self.at}
            figures[f"{name}_mrr"] = float((1 / places).mean())
        return figures


def _distinct(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return where each different key stands first, and for each row which of them it has."""
    import torch

    different, number = torch.unique(keys, return_inverse=True)
    first = torch.full((len(different),), len(keys), dtype=torch.int64)
    return first.scatter_reduce(0, number, torch.arange(len(keys)), "amin"), number


def _places(queries: Tensor, candidates: Tensor, query_of: Tensor, candidate_of: Tensor) -> Tensor:
    """Return the place, from 1, of the first candidate that belongs to each query.

    Args:
        queries: [query, dimension]
        candidates: [candidate, dimension]
        query_of: [pair] the query of each pair of the data.
        candidate_of: [pair] its candidate.
    """
    import torch

    places = []
    for start in range(0, len(queries), _CHUNK):
        part = queries[start : start + _CHUNK]
        similar = part @ candidates.T
        own = torch.zeros_like(similar, dtype=torch.bool)
        mine = (query_of >= start) & (query_of < start + len(part))
        own[query_of[mine] - start, candidate_of[mine]] = True
        best = similar.masked_fill(~own, -torch.inf).amax(1, keepdim=True)
        places.append(1 + ((similar >= best) & ~own).sum(1))
    return torch.cat(places)
