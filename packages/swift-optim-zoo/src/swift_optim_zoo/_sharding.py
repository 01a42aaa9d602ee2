"""Parameters that hold a part of a matrix only, as FSDP and ZeRO-3 leave them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor


def refuse_shards(params: Iterable[Tensor], optimizer: str) -> None:
    """Raise ValueError when a parameter is sharded: what is found of a shard does not hold for its matrix."""
    for param in params:
        kind = _kind_of_shard(param)
        if kind:
            raise ValueError(
                f"{optimizer} needs whole matrices and got {kind}: each rank would find directions, means and norms of "
                "its own shard, which are not those of the matrix; replicate the parameters (DDP), or choose an "
                "optimizer that moves each weight alone"
            )


def _kind_of_shard(param: Tensor) -> str | None:
    """Say what `param` is a shard of; None for a whole parameter."""
    placements = getattr(param, "placements", None)  # torch.distributed.tensor.DTensor
    if placements is not None and any(not placement.is_replicate() for placement in placements):
        return "a DTensor sharded by FSDP or tensor parallelism"
    if getattr(param, "_is_flat_param", False):
        return "a flat parameter of FSDP"
    return "a parameter partitioned by ZeRO-3" if hasattr(param, "ds_id") else None
