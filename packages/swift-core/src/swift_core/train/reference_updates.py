"""A reference that follows the policy: TR-DPO (Gorbatovski et al., 2024, arXiv:2404.09656).

Every `ref_model_sync_steps` optimizer steps the reference's weights become

    W_ref <- alpha * W_policy + (1 - alpha) * W_ref                                        (equation 2)

alpha = 1 is the paper's hard update (equation 3). The policy's weights are the model's own with its adapters' updates
added, so the reference is a model of its own also where an adapter is trained.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import TrainerCallback

from swift_core.errors import Problem, SwiftError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedModel

    from swift_core.contracts.handover import Parts

FILE = "reference.safetensors"
"""In a checkpoint: the reference's weights that training has changed."""


class ReferenceUpdates(TrainerCallback):
    """Mixes the policy into the reference at a fixed interval, and keeps the reference in every checkpoint."""

    def __init__(self, parts: Parts) -> None:
        """Take the run's policy and reference; raise SwiftError when their weights cannot be mixed."""
        train = parts.plan.settings.train
        self._alpha, self._interval = train.ref_model_mixup_alpha, train.ref_model_sync_steps
        self._policy, self._resume = parts.model, parts.resume_from
        assert parts.reference is not None  # assembled with a copy whenever the run file asks for updates
        self._weights = dict(parts.reference.named_parameters())
        try:
            shapes = {name: weight.shape for name, weight in changed_weights(self._policy)}
        except ValueError as error:
            raise SwiftError(_refusal(parts, str(error))) from error
        strange = [name for name, shape in shapes.items() if name not in self._weights or _shape(self, name) != shape]
        if strange:
            raise SwiftError(_refusal(parts, f"the reference model has no weight {strange[0]} of the policy's shape"))
        self._names = sorted(shapes)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Go on with the reference of the checkpoint."""
        if self._resume is not None:
            for name, weight in load_file(Path(self._resume) / FILE).items():
                self._weights[name].data.copy_(weight)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Mix when the interval is over."""
        if state.global_step % self._interval == 0:
            self._mix()

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write the reference beside the checkpoint's weights."""
        if state.is_world_process_zero:
            path = Path(args.output_dir) / f"checkpoint-{state.global_step}" / FILE
            save_file({name: self._weights[name].detach().contiguous() for name in self._names}, path)

    @torch.no_grad()
    def _mix(self) -> None:
        for name, weight in changed_weights(self._policy):
            mine = self._weights[name]
            mine.data.copy_(torch.lerp(mine.float(), weight.float(), self._alpha))


def changed_weights(model: PreTrainedModel) -> Iterator[tuple[str, Tensor]]:
    """Yield (name in the model without adapters, present value) of every weight that training changes.

    Raises:
        ValueError: An adapter's update cannot be written as a matrix that is added.
    """
    from peft.tuners.lora import LoraLayer
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import ModulesToSaveWrapper

    base: nn.Module = model.get_base_model() if hasattr(model, "peft_config") else model  # type: ignore[operator]
    inside: set[int] = set()
    for name, module in base.named_modules():
        if isinstance(module, LoraLayer) and isinstance(module.get_base_layer(), nn.Linear):
            yield f"{name}.weight", _adapted(module)
        elif isinstance(module, ModulesToSaveWrapper):
            for inner, parameter in cast("Any", module.modules_to_save)[module.active_adapter].named_parameters():
                yield f"{name}.{inner}", parameter.detach()
        elif isinstance(module, BaseTunerLayer):
            raise ValueError(f"the update of {type(module).__name__} cannot be written as a matrix that is added")
        else:
            continue
        inside.update(id(parameter) for parameter in module.parameters())
    for name, parameter in base.named_parameters():
        if parameter.requires_grad and id(parameter) not in inside:
            yield name, parameter.detach()


def _adapted(layer: Any) -> Tensor:
    if any(layer.use_dora.values()):
        raise ValueError("the update of DoRA cannot be written as a matrix that is added")
    weight: Tensor = layer.get_base_layer().weight.detach()
    if not weight.is_floating_point():
        raise ValueError("quantised weights cannot be mixed")
    for name in layer.active_adapters:
        weight = weight + layer.get_delta_weight(name).detach()
    return weight


def _shape(updates: ReferenceUpdates, name: str) -> torch.Size:
    return updates._weights[name].shape


def _refusal(parts: Parts, why: str) -> Problem:
    return Problem(
        "reference-updates",
        f"train.sync_ref_model cannot be used: {why}.",
        parts.plan.config.place("train.sync_ref_model"),
        "train with tuner full or lora, or remove sync_ref_model",
    )
