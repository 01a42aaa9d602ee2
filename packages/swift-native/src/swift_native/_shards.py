"""What a rank holds of a parameter that is cut up among ranks, as FSDP2 and tensor parallelism do.

Such a parameter is a DTensor. An elementwise step needs no more than its local part; the random bits of a rank are
those of its elements' place in the whole parameter, so that a run is the same on any number of ranks as long as whole
rows are what is cut.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.distributed.tensor import DTensor


def is_dtensor(tensor: Tensor) -> bool:
    """Return whether `tensor` is a DTensor; does not import torch.distributed."""
    return type(tensor).__name__ == "DTensor"


def is_cut(tensor: Tensor) -> bool:
    """Return whether this rank holds only a part of `tensor`."""
    return is_dtensor(tensor) and any(not placement.is_replicate() for placement in cast("DTensor", tensor).placements)


def shard_of(tensor: Tensor) -> Tensor:
    """Return the part of `tensor` that this rank holds, in the same memory: the tensor itself if it is no DTensor."""
    if not is_dtensor(tensor):
        return tensor
    whole = tensor.detach() if torch.is_grad_enabled() else tensor
    return cast("DTensor", whole).to_local()


def place_of_shard(tensor: Tensor) -> int:
    """Return the index of this rank's first element in the whole of `tensor`."""
    if not is_dtensor(tensor):
        return 0
    offsets = cast("DTensor", tensor).__create_chunk_list__()[0].offsets  # the protocol of distributed checkpoints
    sizes = tensor.shape
    return sum(offset * math.prod(sizes[dim + 1 :]) for dim, offset in enumerate(offsets))
