"""Whether the matrices of a model can be cut among processes, asked of its shape before data and weights are loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from swift_core.assemble.head import model_class
from swift_core.errors import Problem, SwiftError
from swift_core.plugins.remote_code import may_run

if TYPE_CHECKING:
    from pathlib import Path

    from swift_core.contracts.handover import RunPlan

_HEADS = {"num_attention_heads": "attention heads", "num_key_value_heads": "heads of keys and values"}


def check_cut(plan: RunPlan, folder: Path) -> None:
    """Refuse a model in `folder` that has no plan for tensor parallelism, or whose heads cannot be shared evenly.

    Raises:
        SwiftError: With `parallel_method: tp` alone.
    """
    if plan.parallel.method != "tp":
        return
    shape = model_shape("causal_lm", folder)
    config = shape.config
    if not shape.tp_plan:
        message = f"transformers has no plan for cutting {type(shape).__name__} among processes."
        raise _refused(plan, message)
    size = plan.settings.device.tensor_parallel_size
    for name, words in _HEADS.items():
        number = getattr(config.get_text_config(), name, size)
        if number % size:
            message = f"{type(shape).__name__} has {number} {words}, which {size} processes cannot share evenly."
            raise _refused(plan, message)


def model_shape(head: str, folder: Path, dtype: str = "float32") -> Any:
    """Return the model of `folder` with `head` and without weights."""
    import torch
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=may_run(folder))
    with torch.device("meta"):
        kind = model_class(head, folder)
        return kind.from_config(config, dtype=getattr(torch, dtype), trust_remote_code=may_run(folder))


def _refused(plan: RunPlan, message: str) -> SwiftError:
    keys = ("device.tensor_parallel_size", "device.parallel_method", "device.num_processes")
    place = next((found for key in keys if (found := plan.config.place(key))), None)
    return SwiftError(Problem("tensor-parallel", message, place, "write another number, or parallel_method: fsdp2"))
