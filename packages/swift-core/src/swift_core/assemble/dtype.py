"""Which type the weights have, and how many threads compute with them. Imports no torch: `swift plan` says it too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from swift_core.contracts.settings import RunSettings
    from swift_core.resolve.machine import Machine

SMALL = 10_000_000
"""Parameters up to which a model is too small for threads and narrow types to pay."""


class DtypeChoice(NamedTuple):
    """A type for the weights."""

    name: Literal["float32", "bfloat16", "float16"]
    reason: str
    """Why, as a phrase for the plan."""


def resolve_dtype(settings: RunSettings, trains_adapter: bool, num_parameters: int, machine: Machine) -> DtypeChoice:
    """Return the type that `model.dtype` means on this machine.

    `auto` is bfloat16 for adapters on a model of more than 10 M parameters where hardware multiplies bfloat16 matrices,
    else float32: weights that are trained themselves lose small updates in bfloat16.

    Args:
        settings: The run file.
        trains_adapter: Whether the model's own weights stay frozen.
        num_parameters: Of the model.
        machine: What there is to compute with.
    """
    if settings.model.dtype != "auto":
        return DtypeChoice(settings.model.dtype, "model.dtype says so")
    if settings.device.parallel_method.startswith("zero"):
        return DtypeChoice("float32", "ZeRO trains in float32 here")
    if not trains_adapter:
        return DtypeChoice("float32", "the weights themselves are trained")
    if num_parameters <= SMALL:
        return DtypeChoice("float32", f"bfloat16 does not pay up to {SMALL // 1_000_000} M parameters")
    if machine.num_gpus and not settings.device.use_cpu:
        return DtypeChoice("bfloat16", "the weights are frozen, and the GPU multiplies bfloat16 matrices")
    if machine.has_bf16_units:
        return DtypeChoice("bfloat16", "the weights are frozen, and the CPU has bfloat16 units")
    return DtypeChoice("float32", "nothing here multiplies bfloat16 matrices")


def resolve_threads(num_threads: int, num_parameters: int) -> int:
    """Return how many CPU threads to use; 0 leaves it to torch.

    One for a small model: handing work to threads costs more than it saves there.
    """
    if num_threads:
        return num_threads
    return 1 if num_parameters <= SMALL else 0
