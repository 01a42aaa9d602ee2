"""Tensor parallelism of transformers: what of a model is cut, and how it is told that it is whole again.

`from_pretrained(distributed_config=...)` cuts the matrices by the plan of the model's family; hooks round the modules
gather and reduce. All processes see the same rows.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch.distributed.tensor import DTensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn


def tensor_parallel_size(model: nn.Module) -> int:
    """Return among how many processes the matrices of `model` are cut: asked of the weights themselves."""
    sizes = {
        parameter.device_mesh.size()
        for parameter in model.parameters()
        if isinstance(parameter, DTensor) and any(placement.is_shard() for placement in parameter.placements)
    }
    return max(sizes, default=1)


@contextmanager
def written_whole(model: Any) -> Iterator[None]:
    """Let transformers write whole weights from the first process alone; it would wait for the others otherwise."""
    config = model.config
    kept = config.__dict__.pop("distributed_config", None)
    try:
        yield
    finally:
        if kept is not None:
            config.distributed_config = kept
