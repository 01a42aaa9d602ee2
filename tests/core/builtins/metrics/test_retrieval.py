"""Retrieval over all held-out rows, against a slow search one query at a time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from swift_core.builtins.metrics import retrieval
from swift_core.builtins.metrics.retrieval import Retrieval
from swift_core.contracts.metric import Predictions
from swift_core.testing.outputs import given_contrastive


def slow(image, text, keys, k):
    """Return recall at k and the mean reciprocal rank from images to texts."""
    images = {key: image[row] for row, (key, _) in reversed(list(enumerate(keys)))}
    texts = {key: text[row] for row, (_, key) in reversed(list(enumerate(keys)))}
    found, reciprocal = 0, 0.0
    for key, query in images.items():
        own = {other for this, other in keys if this == key}
        scores = {name: float(query @ candidate) for name, candidate in texts.items()}
        best = max(scores[name] for name in own)
        place = 1 + sum(score >= best for name, score in scores.items() if name not in own)
        found += place <= k
        reciprocal += 1 / place
    return found / len(images), reciprocal / len(images)


pairs = st.lists(st.tuples(st.integers(0, 4), st.integers(10, 14)), min_size=1, max_size=9)


@given(keys=pairs, seed=st.integers(0, 50), k=st.integers(1, 4), chunk=st.integers(1, 4))
def test_it_finds_what_a_slow_search_finds_in_both_directions(keys, seed, k, chunk):
    generator = torch.Generator().manual_seed(seed)
    places = {key: torch.randint(-2, 3, (3,), generator=generator).double() for pair in keys for key in pair}
    image, text = torch.stack([places[a] for a, _ in keys]), torch.stack([places[b] for _, b in keys])
    batches = [
        (torch.stack([image, text], 1)[rows], torch.tensor(keys)[rows]) for rows in (slice(0, 3), slice(3, None))
    ]
    evaluation = Predictions([values for values, _ in batches], [labels for _, labels in batches])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrieval, "_CHUNK", chunk)
        figures = Retrieval(at=(k,)).compute(evaluation)
    forward, backward = slow(image, text, keys, k), slow(text, image, [pair[::-1] for pair in keys], k)
    names = ["image_to_text_recall", "image_to_text_mrr", "text_to_image_recall", "text_to_image_mrr"]
    expected = dict(zip(names, [*forward, *backward], strict=True))
    assert {name.removesuffix(f"_{k}"): value for name, value in figures.items()} == pytest.approx(expected)


def test_a_model_that_makes_everything_equal_finds_nothing():
    same = torch.ones(6, 2, 3)
    keys = torch.arange(12).view(6, 2)
    figures = Retrieval().compute(Predictions([same], [keys]))
    assert figures["image_to_text_recall_1"] == figures["text_to_image_recall_5"] == 0
    assert figures["image_to_text_recall_10"] == 1
    assert figures["image_to_text_mrr"] == pytest.approx(1 / 6)


def test_it_keeps_the_embeddings_of_a_batch_alone():
    image, text = torch.eye(3), torch.ones(3, 3)
    kept = Retrieval().preprocess_outputs(given_contrastive(image_embeds=image, text_embeds=text))
    assert kept.shape == (3, 2, 3)
    assert kept[:, 0].equal(image)
    assert kept[:, 1].equal(text)


def test_places_begin_at_one():
    with pytest.raises(ValueError, match=r"^at must list numbers >= 1, got \[0\]$"):
        Retrieval(at=(0,))
