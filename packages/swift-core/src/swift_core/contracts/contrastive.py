"""What losses on images with their texts may read: one point for each, in one space (stage clip)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift_core.contracts.loss import LazyOutputs

if TYPE_CHECKING:
    from torch import Tensor


class ContrastiveOutputs(LazyOutputs):
    """What a contrastive loss may read. Each pair is an image with its text; all others are not its own.

    In training `pair` runs over the whole optimizer step: all micro-batches on all processes, in the same order on each
    process. In evaluation it runs over one batch. All values are float32.
    """

    image_embeds: Tensor
    """[pair, dimension] embedding of each image, of length 1."""

    text_embeds: Tensor
    """[pair, dimension] embedding of each text, of length 1."""

    logit_scale: Tensor
    """Scalar > 0 that similarities are multiplied by, learned by the model."""

    logit_bias: Tensor
    """Scalar that is added to scaled similarities, learned by the model; only of models that have one (SigLIP)."""
