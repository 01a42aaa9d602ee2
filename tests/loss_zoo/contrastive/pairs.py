"""Drawn pairs of an image and a text for the contrastive losses, in float64."""

from __future__ import annotations

import torch

from swift_core.testing.outputs import given_contrastive


def made(num_pairs, seed, scale=5.0, bias=-2.0):
    """Return images, texts, scale and bias in float64."""
    drawn = torch.randn(2, num_pairs, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    image, text = torch.nn.functional.normalize(drawn, dim=-1)
    return image, text, torch.tensor(scale, dtype=torch.float64), torch.tensor(bias, dtype=torch.float64)


def outputs(image, text, scale, bias=None):
    values = {"image_embeds": image, "text_embeds": text, "logit_scale": scale}
    return given_contrastive(**values, **({} if bias is None else {"logit_bias": bias}))


def similarity(image, text, i, j):
    return sum(float(a) * float(b) for a, b in zip(image[i], text[j], strict=True))
